"""Keep Airflow's own records from growing for ever."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataflix_airflow import environment
from dataflix_airflow.program_runs import run_command
from dataflix_contract import load_settings

log = logging.getLogger(__name__)

#: How long runs, their results and their logs are kept by Airflow; ``ops.pipeline_runs`` keeps all.
KEPT = timedelta(days=60)


def clean_up(now: datetime | None = None) -> None:
    """Delete what is older than ``KEPT`` from Airflow's database and from the folder of the logs.

    Raises:
        ProgramError: the database could not be cleaned.
        SettingsError: the stack's folder is not set.
    """
    before = (now or datetime.now(UTC)) - KEPT
    files = delete_old_files(environment.logs_folder(load_settings().service_folder("airflow")), before)
    log.info("%d log files from before %s deleted", files, before)
    stamp = before.isoformat(timespec="seconds")
    run_command(
        "dataflix-airflow", "db", "clean", "--clean-before-timestamp", stamp, "--skip-archive", "--yes"
    )


def delete_old_files(folder: Path, before: datetime) -> int:
    """Delete the files that were last written before a moment, and folders left empty; how many files."""
    deleted = 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before it
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.stat().st_mtime < before.timestamp():
            path.unlink()
            deleted += 1
    return deleted
