"""Is the process there, and can it do its work?"""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, jsonify
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from dataflix_backend.access import public
from dataflix_backend.context import context

health = APIBlueprint("health", __name__, url_prefix="/health", enable_openapi=False)


@health.get("/live")
@public
def live() -> Response:
    """The process answers."""
    return jsonify({"status": "ok"})


@health.get("/ready")
@public
def ready() -> tuple[Response, int]:
    """Whether requests can be served now, and what is missing."""
    faults = []
    try:
        with context().pool.connection() as connection:
            connection.execute("SELECT 1")
    except (PoolTimeout, OperationalError):
        faults.append("PostgreSQL does not answer")
    return jsonify({"status": "not ready" if faults else "ok", "faults": faults}), 503 if faults else 200
