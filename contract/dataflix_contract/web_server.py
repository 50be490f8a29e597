"""Shared by the servers that gunicorn runs: logs, problem documents, and checks of requests."""

from __future__ import annotations

import hmac
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's own log lines, in the same form as all others."""

    def setup(self, cfg: Any) -> None:
        """Pass the lines to the root logger."""
        del cfg
        self.error_log = logging.getLogger("gunicorn")
        self.error_log.setLevel(logging.INFO)


def address(host: str, port: int) -> str:
    """Host and port in the form of gunicorn and of URLs: an IPv6 address is in brackets."""
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def query_is_utf8(query: bytes) -> bool:
    """Whether a URL's percent-decoded query is UTF-8; the meaning of other bytes would be a guess."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


#: The message for a query that is not UTF-8.
NOT_UTF8 = "the query is not UTF-8: percent-encode the bytes of UTF-8 text"
#: The media type of a problem document.
PROBLEM = "application/problem+json"


def problem_document(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """The fields of a problem document (RFC 9457).

    Args:
        status: the HTTP status.
        detail: what is wrong, and what to do.
        more: further fields.
    """
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    } | more


def sends_token(authorization: str | None, token: str) -> bool:
    """Whether a request's header ``Authorization`` is the bearer token, compared in constant time."""
    kind, _, sent = (authorization or "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())
