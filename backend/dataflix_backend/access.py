"""Who may ask: everybody, or who has the token."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TypeVar

from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import current_app, request

from dataflix_backend.context import context
from dataflix_contract import Settings
from dataflix_contract.web_server import sends_token

_UNAUTHORIZED = 401

View = TypeVar("View", bound=Callable[..., object])


def public(view: View) -> View:
    """Let a view be seen without the token: put it right below the route."""
    view.__dict__["is_public"] = True
    return view


def install(app: APIFlask, settings: Settings) -> None:
    """Ask every request for the token, where one is set and the view is not public.

    Without a token, a server that only this machine reaches answers to this machine's names only: a page
    from elsewhere, opened in a browser here, could otherwise reach it by a name that leads here.
    """
    # it says what there is in the repository anyway, and a browser has no token to show
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
            _UNAUTHORIZED,
            "send Authorization: Bearer with the token in DATAFLIX_BACKEND_TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="dataflix"'},
        )


def _is_public() -> bool:
    endpoint = request.endpoint or ""
    view = current_app.view_functions.get(endpoint)
    return endpoint.rpartition(".")[2] == "static" or getattr(view, "is_public", False)
