"""Is the process there, and can it do its work?"""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, jsonify
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from dataflix_backend.access import public
from dataflix_backend.context import context
from dataflix_backend.recommendations import status

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
    serving = status()
    faults = list(serving.faults)
    try:
        with context().pool.connection() as connection:
            connection.execute("SELECT 1")
    except (PoolTimeout, OperationalError):
        faults.append("PostgreSQL does not answer")
    body = {
        "status": "not ready" if faults else "ok",
        "faults": faults,
        "warnings": serving.warnings,
        "model": serving.model,
    }
    return jsonify(body), 503 if faults else 200
