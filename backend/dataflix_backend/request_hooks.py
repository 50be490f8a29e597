"""What happens around every request: its id, its line in the log, its place in the metrics, its limits.

Each reply says in ``X-Worker`` which of the backend's processes it comes from: each process has a model of
its own in service, and for some seconds two of them may serve different versions.

A line holds the route as it was declared: neither what was asked for, nor what was sent.
"""

from __future__ import annotations

import math
import re
import time
import uuid
from http import HTTPStatus

import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, g, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from dataflix_backend.context import context
from dataflix_contract.web_server import NOT_UTF8, query_is_utf8

log = structlog.get_logger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
#: Asked for by machines every few seconds: told of when something is wrong, and never limited.
_WATCHED_BY_MACHINES = frozenset({"health", "metrics"})

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def install(app: APIFlask) -> None:
    """Put this around every request of the application; before whatever else looks at requests."""
    app.before_request(_begin)
    app.before_request(_require_utf8)
    app.after_request(_end)


def limit(app: APIFlask, a_minute: int) -> None:
    """Let each client send so many requests a minute to this process; 0: any number."""
    if not a_minute:
        return
    limiter, item = FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerMinute(a_minute)

    def check() -> None:
        # by address: there is one token for everybody
        client = request.remote_addr or "unknown"
        if request.blueprint in _WATCHED_BY_MACHINES or limiter.hit(item, client):
            return
        seconds = math.ceil(limiter.get_window_stats(item, client).reset_time - time.time())
        raise HTTPError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"at most {a_minute} requests a minute: wait for as long as Retry-After says",
            headers={"Retry-After": str(max(1, seconds))},
        )

    app.before_request(check)


def _begin() -> None:
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service="backend", request_id=g.request_id)


def _require_utf8() -> None:
    """Of every path, also those that read no query and those that are not there."""
    if not query_is_utf8(request.query_string):
        raise HTTPError(HTTPStatus.BAD_REQUEST, NOT_UTF8)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.url_rule else "any"  # the client's own words stay out of the labels
    context().metrics.seconds.labels(method, route, response.status_code).observe(seconds)
    if request.blueprint not in _WATCHED_BY_MACHINES or response.status_code >= HTTPStatus.BAD_REQUEST:
        log.info(
            "request", method=method, route=route, status=response.status_code, ms=round(seconds * 1e3, 2)
        )
    response.headers["X-Request-Id"] = g.request_id
    response.headers["X-Worker"] = str(context().worker)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
