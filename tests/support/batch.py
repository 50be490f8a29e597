"""Run the daily batch and wait for what comes of it."""

from typing import Any

from dataflix_checker.batch_check import read_outcome
from dataflix_clients import airflow
from dataflix_clients.airflow import TaskState
from dataflix_contract import Settings


def run_batch(settings: Settings, seconds: float = 600) -> dict[str, Any]:
    """Trigger ``elt_pipeline``, wait for its end, and return what its summary kept.

    Raises:
        AssertionError: the run did not succeed; the message says how each task went.
    """
    run_id = airflow.trigger(settings)
    history = list(airflow.wait(settings, run_id, seconds))
    outcome = read_outcome(settings, run_id)
    succeeded = airflow.run(settings, run_id).state == "success" and outcome is not None
    assert succeeded, f"{run_id} came to nothing:\n{_told(history)}\n{outcome}"
    assert outcome is not None
    return outcome


def _told(history: list[TaskState]) -> str:
    return "\n".join(f"{one.task}: {one.state}, try {one.attempt}" for one in history)
