"""Every error as a problem document (RFC 9457) that says what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, jsonify, request
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

log = structlog.get_logger(__name__)


def install(app: APIFlask) -> None:
    """Make every error of this application a problem document."""
    app.error_processor(_of_api)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(PoolTimeout, _of_database)
    app.register_error_handler(OperationalError, _of_database)
    app.register_error_handler(Exception, _of_fault)


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """A problem document as a response."""
    answer = jsonify({"type": "about:blank", "title": title, "status": status, "detail": detail, **more})
    answer.status_code = status
    answer.content_type = "application/problem+json"
    return answer


def _of_api(fault: HTTPError) -> Response:
    answer = problem(
        fault.status_code,
        HTTPStatus(fault.status_code).phrase,
        fault.message or HTTPStatus(fault.status_code).description,
        **({"errors": fault.detail} if fault.detail else {}),
    )
    answer.headers.extend(dict(fault.headers))
    return answer


def _of_http(fault: HTTPException) -> Response:
    answer = problem(fault.code or 500, fault.name, fault.description or "")
    if isinstance(fault, MethodNotAllowed):
        answer.allow.update(fault.valid_methods or [])
    return answer


def _of_database(fault: Exception) -> Response:
    log.warning("PostgreSQL does not answer", kind=type(fault).__name__)
    answer = problem(503, "Service Unavailable", "the database does not answer: try again in a moment")
    answer.headers["Retry-After"] = "1"
    return answer


def _of_fault(fault: Exception) -> Response:
    # its text may hold what the client sent: the log gets the place only
    log.error("a request failed", path=request.url_rule and request.url_rule.rule, kind=type(fault).__name__)
    return _of_http(InternalServerError("see the server's log"))
