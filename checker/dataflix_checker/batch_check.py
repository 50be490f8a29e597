"""Check the daily batch: run it, watch its tasks, and look for a canary user in everything that it makes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dataflix_checker.canary import warehouse_tables_with
from dataflix_checker.checks import CheckResult, guarded
from dataflix_clients import airflow, clickhouse, mlflow
from dataflix_clients.server_errors import SERVER_ERRORS
from dataflix_contract.faults import first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_checker.canary import Canary
    from dataflix_contract import Settings

#: The table in ClickHouse with the outcome of each run of the batch.
_RUNS_TABLE = "ops.pipeline_runs"
_MARTS = ("users", "movies", "ratings", "user_movie_matrix")
_FAULTS = ("missing", "different", "ghosts")


def check_batch(settings: Settings, canary: Canary, user_id: int, stars: float) -> Iterator[CheckResult]:
    """Run the DAG ``elt_pipeline`` to its end; then check reconciliation, dbt, marts, model and privacy.

    Args:
        settings: the stack's settings.
        canary: the user whose name and address must not be found behind the masker.
        user_id: the canary's id.
        stars: the only rating that the canary has given.
    """
    try:
        run_id = airflow.trigger(settings)
        yield from _watched(settings, run_id)
        outcome = read_outcome(settings, run_id)
    except SERVER_ERRORS as fault:
        yield CheckResult("elt_pipeline", ok=False, detail=first_line(fault))
        return
    if outcome is None:
        yield CheckResult("reconciliation", ok=False, detail=f"{_RUNS_TABLE} has no row of {run_id}")
        return
    yield guarded("reconciliation", lambda: _reconciliation(outcome))
    yield guarded("dbt", lambda: _dbt(outcome))
    yield guarded(
        "marts",
        lambda: _marts(clickhouse.connect(settings, settings.clickhouse_reader), canary, user_id, stars),
    )
    yield guarded("model", lambda: _model(settings, outcome))
    yield guarded("batch privacy", lambda: _no_leaks(settings, canary))


def read_outcome(settings: Settings, run_id: str) -> dict[str, Any] | None:
    """The run's row in ClickHouse, with ``details`` parsed; None: there is none, or not yet."""
    warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
    try:
        found = warehouse.query(
            f"SELECT * FROM {_RUNS_TABLE} FINAL WHERE run_id = {{run_id:String}}", {"run_id": run_id}
        )
        rows = list(found.named_results())
    finally:
        warehouse.close()
    if not rows:
        return None
    measured = {name: _number(value) for name, value in rows[0].items()}
    return measured | {"details": json.loads(rows[0]["details"])}


def _number(value: Any) -> Any:
    """The value, with None for NaN: ClickHouse keeps NaN for a figure that was not measured."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _watched(settings: Settings, run_id: str) -> Iterator[CheckResult]:
    """Wait for the run; yield a result for each task that ended, and one for the whole run."""
    for task in airflow.wait(settings, run_id):
        if task.state in {"success", "failed", "upstream_failed"}:
            tries = f", {task.attempt} tries" if task.attempt > 1 else ""
            took = f"{task.seconds:.1f} s" if task.seconds is not None else task.state
            yield CheckResult(f"  {task.task}", task.state == "success", f"{took}{tries}")
    run = airflow.run(settings, run_id)
    took = f" in {run.seconds:.0f} s" if run.seconds is not None else ""
    yield CheckResult("elt_pipeline", run.state == "success", f"{run_id} {run.state}{took}")


def _reconciliation(outcome: Mapping[str, Any]) -> tuple[bool, str]:
    found = {kind: outcome[kind] for kind in _FAULTS if outcome[kind]}
    if found:
        told = ", ".join(f"{count:,} {kind}" for kind, count in found.items())
        return False, f"{told}: they are repaired; ops.reconciliations.stream says whose fault it was"
    orphans = sum(report["orphans"] for report in outcome["details"]["reconcile"])
    told = f"; {orphans:,} of them lack their user or film: see bin/dataflix-status" if orphans else ""
    return True, f"{outcome['rows']:,} rows are what the source has{told}"


def _dbt(outcome: Mapping[str, Any]) -> tuple[bool, str]:
    passed, failed = outcome["dbt_tests_passed"], outcome["dbt_tests_failed"]
    return (
        passed > 0 and not failed,
        f"{outcome['dbt_models']} models, {passed} tests passed, {failed} failed",
    )


def _marts(warehouse: Client, canary: Canary, user_id: int, stars: float) -> tuple[bool, str]:
    counts = {mart: int(str(warehouse.command(f"SELECT count() FROM analytics.{mart}"))) for mart in _MARTS}
    found = warehouse.query(
        "SELECT name, email, rating FROM analytics.users JOIN analytics.ratings USING (user_id)"
        " WHERE user_id = {user_id:Int64}",
        {"user_id": user_id},
    ).result_rows
    if len(found) != 1:
        return False, f"the canary has {len(found)} rows in analytics, and should have one"
    name, email, rating = found[0]
    if float(rating) != stars or name == canary.name or email == canary.email:
        return False, "the canary's row in analytics is not what it should be"
    told = ", ".join(f"{count:,} {mart}" for mart, count in counts.items())
    return True, f"{told}; the canary is among them, masked"


def _model(settings: Settings, outcome: Mapping[str, Any]) -> tuple[bool, str]:
    champion = mlflow.read_champion(settings)
    if not outcome["model_version"] and (reason := outcome["details"].get("reason")):
        served = f"version {champion.number} stays champion" if champion else "popular films are shown"
        return True, f"{reason}; {served}"
    if champion is None:
        return False, f"there is no champion: version {outcome['model_version']} is {outcome['alias']}"
    files = dict(mlflow.artefacts(settings, champion))
    size = sum(map(len, files.values()))
    complete = champion.status == "READY" and any(path.endswith(".npz") for path in files)
    return complete, (
        f"champion is version {champion.number}, {len(files)} files, {size / 2**20:.1f} MiB;"
        f" new version {outcome['model_version']} is {outcome['alias']}:"
        f" RMSE {outcome['rmse']:.4f}, nDCG@10 {outcome['ndcg_at_10']:.4f}"
    )


def _no_leaks(settings: Settings, canary: Canary) -> tuple[bool, str]:
    places = list(
        warehouse_tables_with(canary.marker, clickhouse.connect(settings, settings.clickhouse_reader))
    )
    champion = mlflow.read_champion(settings)
    needle = canary.marker.encode()
    files = list(mlflow.artefacts(settings, champion)) if champion else []
    places += [f"the model's {path}" for path, content in files if needle in content]
    if places:
        return False, f"the canary's name or address is in {', '.join(places[:5])}"
    return True, f"nothing of the canary in the warehouse and {len(files)} files of the model"
