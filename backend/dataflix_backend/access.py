"""Who may ask: everybody, or who has the token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeVar

from apiflask.exceptions import HTTPError
from flask import current_app, request

from dataflix_backend.context import context

_UNAUTHORIZED = 401

View = TypeVar("View", bound=Callable[..., object])


def public(view: View) -> View:
    """Let a view be seen without the token: put it right below the route."""
    view.__dict__["is_public"] = True
    return view


def require_token() -> None:
    """Turn away who lacks the token, where one is set and the view is not public.

    Raises:
        HTTPError: 401.
    """
    wanted = context().settings.backend_token.get_secret_value()
    if wanted and not _is_public() and not hmac.compare_digest(_sent().encode(), wanted.encode()):
        raise HTTPError(
            _UNAUTHORIZED,
            "send Authorization: Bearer with the token in DATAFLIX_BACKEND_TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="dataflix"'},
        )


def _is_public() -> bool:
    endpoint = request.endpoint or ""
    view = current_app.view_functions.get(endpoint)
    return endpoint.rpartition(".")[2] == "static" or getattr(view, "is_public", False)


def _sent() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
