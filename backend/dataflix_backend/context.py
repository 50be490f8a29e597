"""What the requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from dataflix_backend.database import Pool
from dataflix_backend.metrics import Metrics
from dataflix_contract import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """The process's settings, its connections to PostgreSQL, and what it counts."""

    settings: Settings
    pool: Pool
    metrics: Metrics


def context() -> Context:
    """The context of the application that serves the current request."""
    found: Context = current_app.extensions["dataflix"]
    return found
