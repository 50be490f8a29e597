"""A champion in service: by every process of the backend."""

from typing import Any

from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION, MODEL
from dataflix_training.mlflow_run import Tracking
from support.api import api_client
from support.waiting import wait_until


def serve(settings: Settings, tracking: Tracking, version: int) -> None:
    """Make a version the champion, and wait until every process of the backend serves it."""
    tracking.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    wait_until(lambda: served_by_all(settings) == {(version, "registry")}, f"version {version} is served")


def from_all(settings: Settings, path: str) -> list[dict[str, Any]]:
    """An answer from each process of the backend; a busy one leaves connections to those that are idle."""
    answers: dict[str, dict[str, Any]] = {}

    def all_have_answered() -> bool:
        with api_client(settings) as client:  # a connection of its own each time
            answer = client.get(path)
        answers[answer.headers["X-Worker"]] = answer.json()
        return len(answers) == settings.backend_workers

    wait_until(all_have_answered, f"every process has answered {path}", every=0.02)
    return list(answers.values())


def served_by_all(settings: Settings) -> set[tuple[int, str] | None]:
    """What the processes say that they serve."""
    models = [ready["model"] for ready in from_all(settings, "/health/ready")]
    return {model and (model["version"], model["source"]) for model in models}
