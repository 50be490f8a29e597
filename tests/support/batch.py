"""Run the daily batch and wait for what comes of it."""

from typing import Any

from dataflix_checker import pipeline
from dataflix_checker.pipeline import TaskState
from dataflix_contract import Settings


def run_batch(settings: Settings, seconds: float = 600) -> dict[str, Any]:
    """Trigger ``elt_pipeline``, wait for its end, and return what its summary kept.

    Raises:
        AssertionError: the run did not succeed; the message says how each task went.
    """
    run_id = pipeline.trigger(settings)
    history = list(pipeline.wait(settings, run_id, seconds))
    outcome = pipeline.outcome(settings, run_id)
    succeeded = pipeline.state(settings, run_id) == "success" and outcome is not None
    assert succeeded, f"{run_id} came to nothing:\n{_told(history)}\n{outcome}"
    assert outcome is not None
    return outcome


def _told(history: list[TaskState]) -> str:
    return "\n".join(f"{one.task}: {one.state}, try {one.attempt}" for one in history)
