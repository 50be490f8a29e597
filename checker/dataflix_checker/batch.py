"""The daily batch, checked: trigger it, watch it, and look for a canary in everything that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dataflix_checker import pipeline, registry
from dataflix_checker.clients import open_warehouse
from dataflix_checker.findings import EXPECTED_FAULTS, Finding, first_line, guarded
from dataflix_checker.leaks import warehouse_tables_with

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_checker.canary import Canary
    from dataflix_contract import Settings

_MARTS = ("users", "movies", "ratings", "user_movie_matrix")
_FAULTS = ("missing", "different", "ghosts")


def check_batch(settings: Settings, canary: Canary, user_id: int, stars: float) -> Iterator[Finding]:
    """Trigger ``elt_pipeline`` and follow it to its end; then check what it made.

    Args:
        settings: the stack's settings.
        canary: somebody whose name and address must not turn up.
        user_id: the canary's id.
        stars: the one rating that the canary has given.
    """
    try:
        run_id = pipeline.trigger(settings)
        yield from _watched(settings, run_id)
        outcome = pipeline.outcome(settings, run_id)
    except EXPECTED_FAULTS as fault:
        yield Finding("elt_pipeline", ok=False, detail=first_line(fault))
        return
    if outcome is None:
        yield Finding("reconciliation", ok=False, detail=f"{pipeline.RUNS_TABLE} has no row of {run_id}")
        return
    yield guarded("reconciliation", lambda: _reconciliation(outcome))
    yield guarded("dbt", lambda: _dbt(outcome))
    yield guarded("marts", lambda: _marts(open_warehouse(settings), canary, user_id, stars))
    yield guarded("model", lambda: _model(settings, outcome))
    yield guarded("batch privacy", lambda: _no_leaks(settings, canary))


def _watched(settings: Settings, run_id: str) -> Iterator[Finding]:
    """A finding for each task that ended, and one for the whole run."""
    for task in pipeline.wait(settings, run_id):
        if task.state in {"success", "failed", "upstream_failed"}:
            tries = f", {task.attempt} tries" if task.attempt > 1 else ""
            took = f"{task.seconds:.1f} s" if task.seconds is not None else task.state
            yield Finding(f"  {task.task}", task.state == "success", f"{took}{tries}")
    run = pipeline.run(settings, run_id)
    took = f" in {run.seconds:.0f} s" if run.seconds is not None else ""
    yield Finding("elt_pipeline", run.state == "success", f"{run_id} {run.state}{took}")


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
    champion = registry.version_of(settings)
    if not outcome["model_version"] and (reason := outcome["details"].get("reason")):
        served = f"version {champion.number} stays champion" if champion else "popular films are shown"
        return True, f"{reason}; {served}"
    if champion is None:
        return False, f"there is no champion: version {outcome['model_version']} is {outcome['alias']}"
    files = dict(registry.artefacts(settings, champion))
    size = sum(map(len, files.values()))
    complete = champion.status == "READY" and any(path.endswith(".npz") for path in files)
    return complete, (
        f"champion is version {champion.number}, {len(files)} files, {size / 2**20:.1f} MiB;"
        f" new version {outcome['model_version']} is {outcome['alias']}:"
        f" RMSE {outcome['rmse']:.4f}, nDCG@10 {outcome['ndcg_at_10']:.4f}"
    )


def _no_leaks(settings: Settings, canary: Canary) -> tuple[bool, str]:
    places = list(warehouse_tables_with(canary.marker, open_warehouse(settings)))
    champion = registry.version_of(settings)
    needle = canary.marker.encode()
    files = list(registry.artefacts(settings, champion)) if champion else []
    places += [f"the model's {path}" for path, content in files if needle in content]
    if places:
        return False, f"the canary's name or address is in {', '.join(places[:5])}"
    return True, f"nothing of the canary in the warehouse and {len(files)} files of the model"
