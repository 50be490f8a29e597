"""``dataflix-train``, which trains a model, and ``dataflix-model``, which chooses the version in service."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table
from threadpoolctl import threadpool_limits

from dataflix_clients import mlflow
from dataflix_clients.http_client import http, parsed
from dataflix_contract import Settings
from dataflix_contract.console import Console, progress
from dataflix_contract.faults import cannot_use, fail, first_line, program_settings
from dataflix_contract.logs import configure_logging
from dataflix_contract.programs import exit_on_sigterm
from dataflix_contract.schema import CHAMPION
from dataflix_contract.terminal import make_output_safe

#: What may stand between quotes in MLflow's search language; Airflow's run ids consist of these.
RUN_ID = r"[A-Za-z0-9_.:+@~=-]{1,200}"
_THREADS = 2
_API_SECONDS = 10
_MLFLOW_SECONDS = 20
_MOST_VERSIONS = 2**31 - 1  # MLflow's database stores a version's number in 32 bits
_WHICH_SERVES = "dataflix-model list shows which version is in service"
_MLFLOW = {
    # a dead MLflow is noticed within a minute: whoever called tries again
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # its log lines become ours
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Artefacts travel through MLflow's server. By default its client takes the addresses of the S3 store
    # that the server offers, which the batch's containers and pods cannot reach, and does not fall back.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}

make_output_safe()
train_app = typer.Typer(add_completion=False)
model_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The model's versions, and which is in service."
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]


def train() -> None:
    """``dataflix-train``."""
    train_app()


def model() -> None:
    """``dataflix-model``."""
    model_app()


@train_app.command()
def main(
    run_id: Annotated[
        str | None, typer.Option(help="Name of this training; the same id again gives the same result.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the recommender on the warehouse's ratings, judge it, and register it in MLflow.

    If ratings are too few, or all are equal, no model is trained. This is no error: the reason is printed.
    """
    configure_logging("train")
    run_id = run_id or f"terminal-{uuid.uuid4().hex[:12]}"
    if not re.fullmatch(RUN_ID, run_id):
        fail(f"a run id consists of letters, digits and _.:+@~=- and is no longer than 200: {run_id!r}")
    exit_on_sigterm()
    advice = f"Run it again with --run-id {run_id}, and it goes on with what was saved"
    with _exit_on_fault(advice) as settings:
        prepare()
        from dataflix_training.mlflow_run import Tracking  # noqa: PLC0415 - MLflow: seconds
        from dataflix_training.training_run import train as run  # noqa: PLC0415 - Numba: seconds

        tracking = Tracking(settings)
        # the limit only affects libraries that are loaded already: it comes after the import
        with threadpool_limits(_THREADS), _progress() as tell:
            result = run(settings, tracking, run_id, tell)
    _print_result(result, as_json=as_json)


@model_app.command("list")
def list_versions(as_json: Json = False) -> None:
    """Show all versions, newest first."""
    with _exit_on_fault() as settings:
        registry = mlflow.Registry(settings)
        aliases = registry.aliases()
        versions = [_row(one, aliases) for one in registry.versions()]
        if as_json:
            for one in versions:
                typer.echo(json.dumps(one))
            return
        table = Table("version", "alias", "made", "run", "ratings", "RMSE", "nDCG@10")
        for one in versions:
            table.add_row(
                str(one["version"]),
                ", ".join(one["aliases"]),
                f"{datetime.fromisoformat(one['created_at']):%Y-%m-%d %H:%M}",
                one["run_id"],
                "" if one["rows"] is None else f"{one['rows']:,}",
                _figure(one["rmse"]),
                _figure(one["ndcg_at_10"]),
            )
        Console().print(table)
        _say_not_served(settings, aliases.get(CHAMPION))


@model_app.command()
def promote(
    version: Annotated[int, typer.Argument(min=1, max=_MOST_VERSIONS)], as_json: Json = False
) -> None:
    """Put a version in service, whatever the gate said."""
    with _exit_on_fault(_WHICH_SERVES) as settings:
        registry = mlflow.Registry(settings)
        registry.promote(version)
        _say_champion(settings, registry.aliases(), as_json=as_json)


@model_app.command()
def rollback(as_json: Json = False) -> None:
    """Put the previous champion in service again; each further rollback goes one version further back."""
    with _exit_on_fault(_WHICH_SERVES) as settings:
        registry = mlflow.Registry(settings)
        registry.rollback()
        _say_champion(settings, registry.aliases(), as_json=as_json)


@contextlib.contextmanager
def _exit_on_fault(advice: str = "") -> Iterator[Settings]:
    """Yield the settings, once MLflow answers; end the program with a message and an exit code after a fault.

    The code is 1 after a fault, 143 after SIGTERM, and 130 after Ctrl-C.

    Args:
        advice: what to do after MLflow has failed, and after the program was stopped.
    """
    try:
        with program_settings(functools.partial(_describe, advice)) as settings:
            mlflow.check(settings, _MLFLOW_SECONDS)
            yield settings
    except SystemExit as end:
        if end.code == 128 + signal.SIGTERM:
            fail(_sentences("stopped", advice), 128 + signal.SIGTERM)
        raise
    except KeyboardInterrupt:
        fail(_sentences("stopped", advice), 128 + signal.SIGINT)


def _describe(advice: str, error: Exception, settings: Settings) -> str | None:
    """The message for an error of MLflow, or of a library that talks to it; None: it is another error."""
    if isinstance(error, httpx.TransportError):
        return _sentences(cannot_use("MLflow", settings.mlflow_url, error), advice)
    other_server = type(error) is LookupError  # and no KeyError, which would be an error in the program
    library = type(error).__module__.startswith(("mlflow.", "requests.", "urllib3."))
    if other_server or library or isinstance(error, httpx.HTTPError):
        reason = first_line(error)[:300].rstrip(".")
        return _sentences(f"MLflow failed: {reason}", "Look at its log", advice)
    return None


def _sentences(*texts: str) -> str:
    return ". ".join(text for text in texts if text)


def _row(version: mlflow.Version, aliases: Mapping[str, int]) -> dict[str, Any]:
    """One version as people want to see it; numbers that its training did not record are None."""
    tags = version.tags
    rows = _number(tags, mlflow.ROWS_TAG)
    return {
        "version": version.number,
        "aliases": sorted(alias for alias, number in aliases.items() if number == version.number),
        "created_at": version.created_at.isoformat(),
        "run_id": tags.get(mlflow.RUN_TAG, ""),
        "mlflow_run_id": version.run_id,
        "rows": None if rows is None else int(rows),
        "rmse": _number(tags, "rmse"),
        "ndcg_at_10": _number(tags, "ndcg_at_10"),
    }


def _number(tags: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(tags.get(name, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def prepare() -> None:
    """Set what MLflow, Numba and Matplotlib read from the environment; call before they are imported.

    Variables that are set already are kept. Caches go below ``$DATAFLIX_DATA_DIR``, but Numba's stays beside
    the code if that folder can be written to: a new data folder then needs no seconds of compiling.
    """
    defaults = dict(_MLFLOW)
    if folder := os.environ.get("DATAFLIX_DATA_DIR"):
        if not os.access(Path(__file__).parent, os.W_OK):
            defaults["NUMBA_CACHE_DIR"] = str(Path(folder, "training", "numba"))
        defaults["MPLCONFIGDIR"] = str(Path(folder, "training", "matplotlib"))
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Show how far the training is; yields what to call with the stage and the share done."""
    told, percent = "", 0
    with progress("training", Console(stderr=True), 100) as shown:

        def tell(stage: str, share: float) -> None:
            nonlocal told, percent
            if stage != told:
                shown.tell(stage)
            shown.advance(int(100 * share) - percent)
            told, percent = stage, int(100 * share)

        yield tell
        tell("done", 1.0)


def _print_result(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    if skipped := result.get("skipped"):
        typer.echo(f"no model was trained: {skipped}")
        return
    rows = {"Dataflix": result, "Surprise's SVD, its defaults": result["baselines"]["surprise_svd"]}
    rows |= {
        "popularity": result["baselines"]["popularity"],
        "global mean": result["baselines"]["global_mean"],
    }
    if champion := result["baselines"].get("champion_recipe"):
        rows["the champion's recipe"] = champion
    title = f"version {result['model_version']}: {result['alias']} ({'; '.join(result['reasons'])})"
    columns = {
        "rmse": "RMSE",
        "mae": "MAE",
        "ndcg_at_10": "nDCG@10",
        "recall_at_10": "Recall@10",
        "coverage": "coverage",
        "new_ndcg_at_10": "new people's nDCG@10",
    }
    style = "bold red" if result["fell"] else None
    table = Table("judged on held-out ratings", *columns.values(), title=title, title_style=style)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, scores in rows.items():
        table.add_row(name, *map(_figure, map(scores.get, columns)))
    console = Console()
    console.print(table)
    console.print(
        f"{result['rows']:,} ratings, {result['seconds']} s, run {result['run_id']}", highlight=False
    )
    console.print(
        f"model card: model_card.md of the run {result['mlflow_run_id']} in MLflow", highlight=False
    )


def _figure(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"


def _say_champion(settings: Settings, aliases: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(aliases))
        return
    before = aliases.get(mlflow.PREVIOUS)
    typer.echo(
        f"champion: version {aliases[CHAMPION]}" + (f"; before it: version {before}" if before else "")
    )
    _say_not_served(settings, aliases[CHAMPION])


def _say_not_served(settings: Settings, champion: int | None) -> None:
    """Say why the API does not serve this champion, in its own words."""
    try:
        # it answers with the status 503 while it is not ready, and says the same then
        state = parsed(http.get(f"{settings.backend_url}/health/ready", timeout=_API_SECONDS))
        refusal = state["refusal"]
    except (httpx.HTTPError, LookupError):
        typer.echo("the API does not answer: whether it serves the champion is not known")
        return
    # the API may not have seen the newest champion yet: then it speaks of the one before
    if refusal and refusal["version"] == champion:
        typer.echo(state["not_served"])
