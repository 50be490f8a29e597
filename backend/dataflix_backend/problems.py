"""Turn every error into a problem document (RFC 9457) that says what to do."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any

import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, jsonify, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from psycopg import Error, OperationalError, errors
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, SecurityError

from dataflix_backend.database import RowRefusedError
from dataflix_contract.web_server import PROBLEM, problem_document

log = structlog.get_logger(__name__)

#: How soon clients should try again when PostgreSQL does not answer, in seconds.
RETRY_SECONDS = "1"
_STRANGE_HOST = (
    "without a token this server answers to this machine's names only: ask for localhost,"
    " or set DATAFLIX_BACKEND_TOKEN"
)
#: SQLSTATEs that begin like this show that the tables are not as this program expects: values do not fit, an
#: unknown constraint or trigger refused a row, or something is missing or not allowed.
_OF_TABLES = ("0A", "22", "23", "26", "3F", "42", "P0")
_NAMING = ("3F", "42")
_LOST_STATEMENTS = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
_TABLES = (
    "the database's tables are not as this server needs them: {}. Whoever operates it must undo that change,"
    " or run bin/dataflix-migrate after an update; bin/dataflix-connector preflight compares the tables with"
    " the contract. Afterwards no restart is needed"
)
_ADVICE = {
    HTTPStatus.BAD_REQUEST: "the request cannot be understood: see /docs for what it should look like",
    HTTPStatus.NOT_FOUND: "there is nothing at this path: see /docs for the paths",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too large: send at most 64 KiB",
}


def install(app: APIFlask) -> None:
    """Make every error of this application a problem document."""
    app.error_processor(_of_api)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(PoolTimeout, _of_database)
    app.register_error_handler(OperationalError, _of_database)
    app.register_error_handler(RowRefusedError, _of_refusal)
    app.register_error_handler(Error, _schema_error)
    app.register_error_handler(ValidationError, _of_rows)
    app.register_error_handler(ParseException, _of_body)
    app.register_error_handler(Exception, _of_fault)


def _problem(status: int, detail: str, **more: Any) -> Response:
    answer = jsonify(problem_document(status, detail, **more))
    answer.status_code = status
    answer.content_type = PROBLEM
    return answer


def _of_api(fault: HTTPError) -> Response:
    status = fault.status_code
    more = {"errors": fault.detail} if fault.detail else {}
    answer = _problem(status, fault.message or HTTPStatus(status).description, **more)
    answer.headers.extend(dict(fault.headers))
    return answer


def _of_http(fault: HTTPException) -> Response:
    status = HTTPStatus(fault.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(fault, SecurityError):
        return _problem(status, _STRANGE_HOST)
    if isinstance(fault, MethodNotAllowed):
        allowed = sorted(fault.valid_methods or [])
        answer = _problem(status, f"this path takes {', '.join(allowed)}")
        answer.allow.update(allowed)
        return answer
    return _problem(status, _ADVICE.get(status, fault.description or status.description))


def _of_database(fault: Exception) -> Response:
    log.warning("PostgreSQL does not answer", kind=type(fault).__name__)
    if isinstance(fault, errors.QueryCanceled):
        detail = (
            "the database took too long: ask for less, or try again in a moment. GET /health says whether a"
            " table is locked, and by whom"
        )
    else:
        detail = (
            "the database does not answer: try again in a moment."
            " Send a POST with the same Idempotency-Key: it is not done twice"
        )
    return _unavailable(detail)


def _of_refusal(fault: RowRefusedError) -> Response:
    log.error("PostgreSQL does nothing with a row, and gives no reason", table=fault.table)
    return _unavailable(
        f"{fault} and gave no reason: a trigger or a rule of that table discards what is done to the row."
        f" Whoever operates the database finds it with \\d {fault.table} in psql, and must drop or correct it"
    )


def describe_schema_error(fault: Error) -> str:
    """Say, from an error, what has changed about the tables and what to do, without any value of a row."""
    if isinstance(fault, errors.FeatureNotSupported):
        return "a table has just been changed: try again in a moment"
    if isinstance(fault, _LOST_STATEMENTS):
        return (
            "prepared statements get lost on the way to PostgreSQL: if there is a pooler in between,"
            " it must pool sessions, not transactions (pool_mode = session); if not, try again in a moment"
        )
    diag = fault.diag
    place = ".".join(filter(None, (diag.table_name, diag.column_name or diag.constraint_name)))
    # these messages only name tables, columns, functions and types; others may quote values
    named = (fault.sqlstate or "").startswith(_NAMING) and diag.message_primary
    return _TABLES.format(named or f"{type(fault).__name__}{place and f' at {place}'}")


def _schema_error(fault: Error) -> Response:
    if isinstance(fault, errors.SyntaxError) or not (fault.sqlstate or "").startswith(_OF_TABLES):
        return _of_fault(fault)
    log.error("PostgreSQL's tables are not as they must be", kind=type(fault).__name__)
    return _unavailable(describe_schema_error(fault))


def _of_rows(fault: ValidationError) -> Response:
    """A row of PostgreSQL does not fit a reply's schema. Requests have been validated before this."""
    fields = ", ".join(sorted({str(error["loc"][0]) for error in fault.errors() if error["loc"]}))
    log.error("PostgreSQL's rows are not as they must be", reply=fault.title, fields=fields)
    return _unavailable(_TABLES.format(f"{fields} of a {fault.title} has another type"))


def _unavailable(detail: str) -> Response:
    answer = _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    answer.headers["Retry-After"] = RETRY_SECONDS
    return answer


def _of_body(fault: Exception) -> Response:
    log.warning("a body could not be read", kind=type(fault).__name__)
    return _problem(HTTPStatus.BAD_REQUEST, "the body's chunks cannot be read: send it with a Content-Length")


def _of_fault(fault: Exception) -> Response:
    # the error's text may quote the request: only its place in the code is logged
    calls = [
        f"{frame.f_globals.get('__name__')}:{line}" for frame, line in traceback.walk_tb(fault.__traceback__)
    ]
    log.error(
        "a request failed",
        route=request.url_rule and request.url_rule.rule,
        kind=type(fault).__name__,
        at=calls[-1] if calls else None,
    )
    log.debug("the calls that led to the failure", calls=calls)
    return _of_http(InternalServerError("this is the server's fault: its log tells more, by X-Request-Id"))
