"""What the requests of one process share, and how they reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response, current_app
from pydantic import BaseModel

from dataflix_backend.api_metrics import Metrics
from dataflix_backend.database import Pool
from dataflix_contract import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """The process's settings, its connections to PostgreSQL, its counts, and its number among the workers."""

    settings: Settings
    pool: Pool
    metrics: Metrics
    worker: int


def context() -> Context:
    """The context of the application that serves the current request."""
    found: Context = current_app.extensions["dataflix"]
    return found


def reply(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as a JSON response; decimals become numbers, moments RFC 3339."""
    return Response(body.model_dump_json(), status, headers, content_type="application/json")
