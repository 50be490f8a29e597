"""The paths for monitoring: ``/health``, which says whether requests can be served, and ``/metrics``."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from psycopg import Error, OperationalError
from psycopg.errors import LockNotAvailable
from psycopg_pool import PoolTimeout

from dataflix_backend import api_metrics
from dataflix_backend.database import blocked_tables, columns_of_other_types, session_warnings
from dataflix_backend.problems import RETRY_SECONDS, describe_schema_error
from dataflix_backend.recommendations.model_cache import Status, status
from dataflix_backend.request_handling import context, public, reply
from dataflix_backend.schemas import Health

health = APIBlueprint("health", __name__, url_prefix="/health")
metrics_page = APIBlueprint("metrics", __name__, enable_openapi=False)


@health.get("")
@public
@health.output(Health)
def show() -> Response:
    """Say whether requests can be served now; no token is asked for."""
    serving, faults = _look()
    if faults:
        raise HTTPError(
            HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(faults), headers={"Retry-After": RETRY_SECONDS}
        )
    return reply(
        Health(
            status="ok",
            warnings=serving.warnings,
            model=serving.model,
            not_served=serving.not_served,
            refusal=serving.refusal,
        )
    )


@health.get("/live")
@public
@health.doc(hide=True)
def live() -> Response:
    """Say that the process answers; for liveness probes."""
    return jsonify({"status": "ok"})


@health.get("/ready")
@public
@health.doc(hide=True)
def ready() -> tuple[Response, int]:
    """Say the same as ``/health``, in a document of one form for both outcomes; for probes and the status."""
    serving, faults = _look()
    body = {
        "status": "not ready" if faults else "ok",
        "faults": faults,
        "warnings": serving.warnings,
        "model": serving.model,
        "not_served": serving.not_served,
        "refusal": serving.refusal and serving.refusal.model_dump(),
    }
    return jsonify(body), 503 if faults else 200


@metrics_page.get("/metrics")
@public
def show_metrics() -> Response:
    """Show the sums of all processes' metrics, for Prometheus."""
    return Response(api_metrics.render(), content_type=CONTENT_TYPE_LATEST)


def _look() -> tuple[Status, list[str]]:
    """The status of recommendations with all warnings, and the reasons why no request can be answered now."""
    serving = status()
    faults, warnings = list(serving.faults), list(serving.warnings)
    try:
        with context().pool.connection() as connection:
            warnings += session_warnings(connection)
            try:
                warnings += columns_of_other_types(connection)
            except LockNotAvailable:
                faults += blocked_tables(connection) or ["a table was locked for a second: ask again"]
    except (PoolTimeout, OperationalError):
        faults.append("PostgreSQL does not answer")
    except Error as fault:
        faults.append(describe_schema_error(fault))
    return replace(serving, warnings=warnings), faults
