"""``dataflix-train``, which trains a model, and ``dataflix-model``, which chooses the version in service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.table import Table
from threadpoolctl import threadpool_limits

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.console import Console, progress
from dataflix_contract.faults import Fault
from dataflix_contract.logs import configure_logging
from dataflix_contract.programs import exit_on_sigterm
from dataflix_contract.schema import CHAMPION
from dataflix_contract.terminal import make_output_safe, visible

if TYPE_CHECKING:
    from dataflix_training.mlflow_run import Tracking
    from dataflix_training.registry import Registry

log = structlog.get_logger()


#: What may stand between quotes in MLflow's search language; Airflow's run ids consist of these.
RUN_ID = r"[A-Za-z0-9_.:+@~=-]{1,200}"
_THREADS = 2
_HEALTH_SECONDS = 10
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
    exit_on_sigterm()
    with _exit_on_fault():
        tracking, settings = _tracking(run_id)
        from dataflix_training.training_run import train as run  # noqa: PLC0415 - Numba: seconds

        # the limit only affects libraries that are loaded already: it comes after the import
        with threadpool_limits(_THREADS), _progress() as tell:
            result = run(settings, tracking, run_id, tell)
    _print_result(result, as_json=as_json)


@model_app.command("list")
def list_versions(as_json: Json = False) -> None:
    """Show all versions, newest first."""
    with _exit_on_fault():
        versions = _registry().versions()
    if as_json:
        for one in versions:
            _print_json(asdict(one))
        return
    table = Table("version", "alias", "made", "run", "ratings", "RMSE", "nDCG@10")
    for one in versions:
        table.add_row(
            str(one.version),
            ", ".join(one.aliases),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.run_id,
            f"{one.rows:,}",
            f"{one.rmse:.4f}",
            f"{one.ndcg_at_10:.4f}",
        )
    Console().print(table)
    champion = next((one.version for one in versions if CHAMPION in one.aliases), None)
    _say_not_served(champion)


@model_app.command()
def promote(version: Annotated[int, typer.Argument(min=1)], as_json: Json = False) -> None:
    """Put a version in service, whatever the gate said."""
    with _exit_on_fault():
        registry = _registry()
        registry.promote(version)
    _say_champion(registry, as_json=as_json)


@model_app.command()
def rollback(as_json: Json = False) -> None:
    """Put the previous champion in service again; each further rollback goes one version further back."""
    with _exit_on_fault():
        registry = _registry()
        registry.rollback()
    _say_champion(registry, as_json=as_json)


def _registry() -> Registry:
    return _tracking("list")[0].registry


def _tracking(run_id: str) -> tuple[Tracking, Settings]:
    """MLflow's client, after checking the settings and the server's health."""
    if not re.fullmatch(RUN_ID, run_id):
        raise Fault(
            f"a run id consists of letters, digits and _.:+@~=- and is no longer than 200: {run_id!r}"
        )
    settings = load_settings()
    _require_mlflow(settings)
    prepare()
    from dataflix_training.mlflow_run import Tracking  # noqa: PLC0415 - MLflow: seconds

    return Tracking(settings.mlflow_url), settings


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


def _require_mlflow(settings: Settings) -> None:
    try:
        with urllib.request.urlopen(f"{settings.mlflow_url}/health", timeout=_HEALTH_SECONDS):  # noqa: S310
            pass
    except (urllib.error.URLError, OSError) as error:
        raise Fault(
            f"MLflow does not answer at {settings.mlflow_url} ({error}): start it with ./run.sh, or set"
            " DATAFLIX_MLFLOW_HOST and DATAFLIX_MLFLOW_PORT"
        ) from error


@contextlib.contextmanager
def _exit_on_fault() -> Iterator[None]:
    """Turn faults into a message and exit code 1; being stopped into 143 (SIGTERM) or 130 (Ctrl-C)."""
    try:
        yield
    except (Fault, SettingsError) as error:
        _die(str(error), 1)
    except SystemExit as stopped:
        _die(
            "stopped: run it again with the same run id, and it goes on, or starts over if nothing was saved",
            int(stopped.code or 0),
        )
    except KeyboardInterrupt:
        _die("stopped", 128 + signal.SIGINT)
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow.", "requests.", "urllib3.")):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        _die(f"MLflow failed: {reason}. Look at its log, then run the same command again: it goes on", 1)


def _die(message: str, code: int) -> None:
    sys.stderr.write(visible(f"error: {message}\n"))
    raise typer.Exit(code)


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
        _print_json(result)
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
        figures = map(scores.get, columns)
        table.add_row(name, *("" if figure is None else f"{figure:.4f}" for figure in figures))
    console = Console()
    console.print(table)
    console.print(
        f"{result['rows']:,} ratings, {result['seconds']} s, run {result['run_id']}", highlight=False
    )
    console.print(
        f"model card: model_card.md of the run {result['mlflow_run_id']} in MLflow", highlight=False
    )


def _say_champion(registry: Registry, *, as_json: bool) -> None:
    with _exit_on_fault():
        aliases = registry.aliases()
    if as_json:
        _print_json(aliases)
        return
    before = aliases.get("previous-champion")
    typer.echo(
        f"champion: version {aliases['champion']}" + (f"; before it: version {before}" if before else "")
    )
    _say_not_served(aliases["champion"])


def _say_not_served(champion: int | None) -> None:
    """Say why the API does not serve this champion, in its own words."""
    try:
        state = _api_state()
        refusal = state["refusal"]
    except (OSError, ValueError, KeyError):
        typer.echo("the API does not answer: whether it serves the champion is not known")
        return
    # the API may not have seen the newest champion yet: then it speaks of the one before
    if refusal and refusal["version"] == champion:
        typer.echo(state["not_served"])


def _api_state() -> dict[str, Any]:
    """What the API's ``/health/ready`` holds, whether it is ready or not."""
    url = f"{load_settings().backend_url}/health/ready"
    try:
        with urllib.request.urlopen(url, timeout=_HEALTH_SECONDS) as answer:  # noqa: S310
            state: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            state = json.load(error)
    return state


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, default=_text) + "\n")


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value)}")
