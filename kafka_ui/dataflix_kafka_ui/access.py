"""Who may ask: pages of this server, and nobody else's. No I/O here.

There is no login, and raw topics hold personal data. A browser would open a WebSocket to this
address for any site that the operator visits, so that the names in ``Host`` and ``Origin`` decide.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from dataflix_contract import Settings


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The host names under which this server may be asked, without port."""
    return frozenset({"localhost", "127.0.0.1", "::1", settings.bind, settings.kafka_ui_host})


def refusal(allowed: frozenset[str], host: str, origin: str | None, *, socket: bool) -> str | None:
    """Why a request is refused; None: it is not.

    Args:
        allowed: host names of this server.
        host: the request's ``Host``.
        origin: the request's ``Origin``, if it has one.
        socket: whether it asks for a WebSocket; only pages do, and they name their origin.
    """
    if urlsplit(f"//{host}").hostname not in allowed:
        return "this server is not known by that name: use the address in DATAFLIX_KAFKA_UI_HOST"
    if origin is None:
        return "a WebSocket is for pages of this server" if socket else None
    return None if urlsplit(origin).netloc == host else "pages of other sites may not ask"
