"""A champion in service: by every process of the backend."""

from typing import Any

from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION, MODEL
from dataflix_training.tracking import Tracking
from support.api import api_client
from support.waiting import wait_until


def serve(settings: Settings, tracking: Tracking, version: int) -> None:
    """Make a version the champion, and wait until every process of the backend serves it."""
    tracking.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    wait_until(lambda: served_by_all(settings) == {(version, "registry")}, f"version {version} is served")


def from_all(settings: Settings, path: str) -> list[dict[str, Any]]:
    """Answers from every process: each is over a connection of its own, and they are spread."""
    with api_client(settings) as client:
        return [client.get(path, headers={"Connection": "close"}).json() for _ in range(12)]


def served_by_all(settings: Settings) -> set[tuple[int, str] | None]:
    """What the processes say that they serve."""
    models = [ready["model"] for ready in from_all(settings, "/health/ready")]
    return {model and (model["version"], model["source"]) for model in models}
