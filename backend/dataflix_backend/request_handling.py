"""The rules for every request: the token, the rate limit, the request's id, common headers, metrics and log.

Each reply says in ``X-Worker`` which of the backend's processes it comes from. Each process changes to a new
model by itself, so that for some seconds two of them may serve different versions.

The log has a line for each request with the declared route, but without the path, query or body that were
sent.
"""

from __future__ import annotations

import ipaddress
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, current_app, g, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from pydantic import BaseModel

from dataflix_backend.api_metrics import Metrics
from dataflix_backend.database import Pool
from dataflix_contract import Settings
from dataflix_contract.web_server import NOT_UTF8, query_is_utf8, sends_token

log = structlog.get_logger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
#: Monitoring asks for these every few seconds: they are logged only when they fail, and never limited.
_WATCHED_BY_MACHINES = frozenset({"health", "metrics"})

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Context:
    """The process's settings, its connections to PostgreSQL, its metrics, and its place among the workers."""

    settings: Settings
    pool: Pool
    metrics: Metrics
    worker: int


def context() -> Context:
    """The context of the application that serves the current request."""
    found: Context = current_app.extensions["dataflix"]
    return found


def reply(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response from a Pydantic model; decimals become numbers, times have the form of RFC 3339."""
    return Response(body.model_dump_json(), status, headers, content_type="application/json")


def public(view: View) -> View:
    """Decorate a view that needs no token; put it right below the route."""
    view.__dict__["is_public"] = True
    return view


def install(app: APIFlask, settings: Settings) -> None:
    """Apply this module's rules to every request of the application; call before any view is added."""
    app.before_request(_begin)
    app.before_request(_require_utf8)
    if settings.backend_rate_limit:
        app.before_request(_limit(settings.backend_rate_limit))
    _protect(app, settings)
    app.after_request(_end)


def _protect(app: APIFlask, settings: Settings) -> None:
    """Require the token for every view that is not public, if one is set.

    Without a token, a server on the loopback interface only answers requests for this machine's names.
    Otherwise a foreign web page in a browser on this machine could reach it by a name that resolves to the
    loopback address (DNS rebinding).
    """
    # the document is in the public repository anyway, and the browser that opens /docs sends no token
    public(app.view_functions["openapi.spec"])
    app.before_request(_require_token)
    if not settings.backend_token.get_secret_value() and _is_loopback(settings.bind):
        app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", settings.backend_host]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _require_token() -> None:
    token = context().settings.backend_token.get_secret_value()
    if token and not _is_public() and not sends_token(request.headers.get("Authorization"), token):
        raise HTTPError(
            HTTPStatus.UNAUTHORIZED,
            "send Authorization: Bearer with the token in DATAFLIX_BACKEND_TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="dataflix"'},
        )


def _is_public() -> bool:
    endpoint = request.endpoint or ""
    view = current_app.view_functions.get(endpoint)
    return endpoint.rpartition(".")[2] == "static" or getattr(view, "is_public", False)


def _limit(a_minute: int) -> Callable[[], None]:
    """A check that refuses a client which has sent so many requests to this process in this minute."""
    limiter, item = FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerMinute(a_minute)

    def check() -> None:
        # by address, since all clients have the same token
        client = request.remote_addr or "unknown"
        if request.blueprint in _WATCHED_BY_MACHINES or limiter.hit(item, client):
            return
        seconds = math.ceil(limiter.get_window_stats(item, client).reset_time - time.time())
        raise HTTPError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"at most {a_minute} requests a minute: wait for as long as Retry-After says",
            headers={"Retry-After": str(max(1, seconds))},
        )

    return check


def _begin() -> None:
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service="backend", request_id=g.request_id)


def _require_utf8() -> None:
    """Refuse a query that is not UTF-8, on every path, also where no query is read or nothing is found."""
    if not query_is_utf8(request.query_string):
        raise HTTPError(HTTPStatus.BAD_REQUEST, NOT_UTF8)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.url_rule else "any"  # no text of the client's may become a label
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
