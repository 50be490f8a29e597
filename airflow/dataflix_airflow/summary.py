"""Summarise a run of the batch: combine its tasks' results into a row, store it in ClickHouse, print it.

The reason of a failed run is the error of the task that failed: ``dbt_task.py`` names dbt's failed tests.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dataflix_clients import clickhouse
from dataflix_contract import Settings, load_settings, tables
from dataflix_contract.schema import CHALLENGER

log = logging.getLogger(__name__)

TABLE = "ops.pipeline_runs"
_COUNTS = ("rows", "missing", "different", "ghosts")
_MOST_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        row: the columns of ``ops.pipeline_runs`` except the times.
        started_at: when the run began.
        missing_parts: the steps that gave no result.
        reports: the tables' reports, as ``dataflix-reconcile`` gave them.
        reason: why parts have no result, or why there is no new champion; empty: neither is the case. The
            row has it in ``details``.
    """

    row: dict[str, Any]
    started_at: datetime
    missing_parts: Sequence[str]
    reports: Sequence[Mapping[str, Any]]
    reason: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        """The row for Airflow to show: without details, and with None for NaN, which JSON does not have."""
        figures = {name: value for name, value in self.row.items() if name != "details"}
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in figures.items()
        } | {"reason": self.reason}


def build_outcome(  # noqa: PLR0913, PLR0917 - the results of all tasks
    run_id: str,
    started_at: datetime,
    reports: Sequence[Mapping[str, Any]],
    dbt_run: Mapping[str, Any] | None,
    model: Mapping[str, Any] | None,
    failures: Mapping[str, str] | None = None,
) -> Outcome:
    """Combine the tasks' results into an outcome.

    Args:
        run_id: the run.
        started_at: when it began.
        reports: a report for each table whose task succeeded.
        dbt_run: the result of dbt; None: its task failed.
        model: the result of the training; None: its task failed.
        failures: why tasks failed, by the name of the part.
    """
    reconciled = {report["table"] for report in reports}
    missing = [f"reconcile {table}" for table in tables() if table not in reconciled]
    missing += [name for name, result in (("dbt", dbt_run), ("train", model)) if result is None]
    reason = "; ".join(f"{part}: {why}" for part, why in (failures or {}).items() if part in missing)
    reason = reason or _reason_without_champion(model or {})
    details = {
        "reconcile": list(reports),
        "dbt": dbt_run,
        "train": model,
        "missing_parts": missing,
        "reason": reason,
    }
    row = {
        "run_id": run_id,
        "state": "failed" if missing else "success",
        **{count: sum(int(report[count]) for report in reports) for count in _COUNTS},
        **_dbt_columns(dbt_run or {}),
        **_model_columns(model or {}),
        "details": json.dumps(details, sort_keys=True),
    }
    return Outcome(row, started_at, missing, reports, reason)


def reason_of(fault: Exception) -> str:
    """Why a task failed, in one line: the first and the last line of the error, which say what and why."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()] or [type(fault).__name__]
    return " ".join(dict.fromkeys((lines[0], lines[-1])))[:_MOST_REASON_CHARACTERS]


def _reason_without_champion(model: Mapping[str, Any]) -> str:
    """Why the training gave no new champion; empty: it gave one, or it failed."""
    if model.get("skipped"):
        return f"no model was trained: {model['skipped']}"
    if model.get("alias") == CHALLENGER:
        return f"version {model['model_version']} is only challenger: {'; '.join(model.get('reasons', ()))}"
    return ""


def _dbt_columns(run: Mapping[str, Any]) -> dict[str, int]:
    seen = Counter((one["resource_type"], one["status"]) for one in run.get("results", ()))
    return {
        "dbt_models": seen["model", "success"],
        "dbt_tests_passed": seen["test", "pass"],
        "dbt_tests_failed": seen["test", "fail"],
    }


def _model_columns(model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_version": int(model.get("model_version", 0)),
        "alias": str(model.get("alias", "")),
        "rmse": float(model.get("rmse", math.nan)),
        "ndcg_at_10": float(model.get("ndcg_at_10", math.nan)),
    }


def record_outcome(outcome: Outcome) -> None:
    """Write the row to ClickHouse, and a table for people to the log.

    Raises:
        clickhouse_connect.driver.exceptions.Error: ClickHouse does not answer or refuses.
    """
    for line in render(outcome):
        log.info("%s", line)
    record(load_settings(), outcome)


def record(settings: Settings, outcome: Outcome) -> None:
    """Write the row to ClickHouse; it replaces an earlier row of the same run."""
    now = datetime.now(UTC)
    row = outcome.row | {"started_at": outcome.started_at, "finished_at": now, "recorded_at": now}
    client = clickhouse.connect(settings, settings.clickhouse_batch)
    try:
        client.insert(TABLE, [list(row.values())], column_names=list(row))
    finally:
        client.close()


def render(outcome: Outcome) -> list[str]:
    """The outcome as lines of text, aligned."""
    row = outcome.row
    heading = ("table", *_COUNTS, "seconds")
    grid = [heading, *(_cells(report) for report in outcome.reports)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = [f"run {row['run_id']}: {row['state']}"]
    lines += ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in grid]
    lines += [
        f"{report['table']}: {int(report['orphans']):,} rows lack their user or film at the source, and are"
        " left out of marts and model: bin/dataflix-status says how to remove them"
        for report in outcome.reports
        if report["orphans"]
    ]
    lines.append(
        f"dbt: {row['dbt_models']} models, {row['dbt_tests_passed']} tests passed,"
        f" {row['dbt_tests_failed']} failed"
    )
    if row["model_version"]:
        lines.append(
            f"model: version {row['model_version']} is {row['alias']},"
            f" RMSE {row['rmse']:.4f}, nDCG@10 {row['ndcg_at_10']:.4f}"
        )
    if outcome.missing_parts:
        lines.append(f"without a result: {', '.join(outcome.missing_parts)}")
    if outcome.reason:
        lines.append(outcome.reason)
    return lines


def _cells(report: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{int(report[count]):,}" for count in _COUNTS)
    return str(report["table"]), *counts, f"{float(report['seconds']):.1f}"
