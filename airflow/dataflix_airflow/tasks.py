"""What each task of the DAG does; nothing here knows Airflow."""

from __future__ import annotations

import logging
from typing import Any

from dataflix_airflow.dbt import run_dbt
from dataflix_airflow.program_runs import run_program
from dataflix_contract import load_settings

log = logging.getLogger(__name__)


def reconcile(table: str, run_id: str) -> dict[str, Any]:
    """Make the warehouse's table equal to PostgreSQL's and return what had to be done.

    A difference that was found is repaired and no failure: it is warned about here and
    counted in the summary.

    Raises:
        ProgramError: it could not be done; nothing is half-done.
    """
    (report,) = run_program("dataflix-reconcile", table, "--run-id", run_id, "--json")
    found = {kind: report[kind] for kind in ("missing", "different", "ghosts")}
    if any(found.values()):
        log.warning("%s differed from the source, and was repaired: %s", table, found)
    return report


def transform(run_id: str, *, full_refresh: bool = False) -> dict[str, Any]:
    """Have dbt build and test the marts; see :func:`dataflix_airflow.dbt.run_dbt`."""
    return run_dbt(load_settings(), run_id, full_refresh=full_refresh)


def train(run_id: str) -> dict[str, Any]:
    """Train and register a model and return its figures.

    Raises:
        ProgramError: it could not be done; the champion is what it was.
    """
    return run_program("dataflix-train", "--run-id", run_id, "--json")[-1]
