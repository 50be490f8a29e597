"""The backend of a running stack, as a client sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from dataflix_contract import Settings


@contextmanager
def api_client(settings: Settings) -> Iterator[httpx.Client]:
    """A connection to the backend."""
    with httpx.Client(base_url=settings.backend_url, timeout=30, trust_env=False) as client:
        yield client


def recommended(client: httpx.Client, user_id: int, **query: Any) -> dict[str, Any]:
    """What is recommended to a user."""
    answer = client.get(f"/recommendations/{user_id}", params=query).raise_for_status()
    reply: dict[str, Any] = answer.json()
    return reply
