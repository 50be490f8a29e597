"""The functions that the DAGs' tasks call. They do not use Airflow."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dataflix_airflow.airflow_command import logs_folder
from dataflix_airflow.dbt_task import run_dbt
from dataflix_airflow.program_runs import run_command, run_program
from dataflix_contract import load_settings

log = logging.getLogger(__name__)

#: How long Airflow keeps runs, their results and their logs; ``ops.pipeline_runs`` keeps all runs.
KEPT = timedelta(days=60)


def reconcile(table: str, run_id: str) -> dict[str, Any]:
    """Make the warehouse's table equal to PostgreSQL's, and return the report of differences.

    Differences are repaired, and are no failure: they are logged here as a warning, and counted in the
    summary.

    Raises:
        ProgramError: the reconciliation failed; nothing is half-done.
    """
    (report,) = run_program("dataflix-reconcile", table, "--run-id", run_id, "--json")
    found = {kind: report[kind] for kind in ("missing", "different", "ghosts")}
    if any(found.values()):
        log.warning("%s differed from the source, and was repaired: %s", table, found)
    return report


def transform(run_id: str, *, full_refresh: bool = False) -> dict[str, Any]:
    """Have dbt build and test the marts; see :func:`dataflix_airflow.dbt_task.run_dbt`."""
    return run_dbt(load_settings(), run_id, full_refresh=full_refresh)


def train(run_id: str) -> dict[str, Any]:
    """Train and register a model, and return its scores.

    Raises:
        ProgramError: the training failed; the champion is unchanged.
    """
    return run_program("dataflix-train", "--run-id", run_id, "--json")[-1]


def clean_up(now: datetime | None = None) -> None:
    """Delete records and logs that are older than ``KEPT`` from Airflow's database and log folder.

    Raises:
        ProgramError: the database could not be cleaned.
        SettingsError: the stack's folder is not set.
    """
    before = (now or datetime.now(UTC)) - KEPT
    files = delete_old_files(logs_folder(load_settings().service_folder("airflow")), before)
    log.info("%d log files from before %s deleted", files, before)
    stamp = before.isoformat(timespec="seconds")
    run_command(
        "dataflix-airflow", "db", "clean", "--clean-before-timestamp", stamp, "--skip-archive", "--yes"
    )


def delete_old_files(folder: Path, before: datetime) -> int:
    """Delete files last written before a time, and empty folders; return how many files were deleted."""
    deleted = 0
    for path in sorted(folder.rglob("*"), reverse=True):  # the contents of a folder come before it
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.stat().st_mtime < before.timestamp():
            path.unlink()
            deleted += 1
    return deleted
