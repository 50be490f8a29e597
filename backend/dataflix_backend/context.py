"""What the requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from dataflix_contract import Settings

Pool = ConnectionPool[Connection[TupleRow]]


@dataclass(frozen=True, slots=True)
class Context:
    """The process's settings and its connections to PostgreSQL."""

    settings: Settings
    pool: Pool


def context() -> Context:
    """The context of the application that serves the current request."""
    found: Context = current_app.extensions["dataflix"]
    return found
