"""HTTP to the stack's servers: clients that use neither proxies nor TLS, and answers in JSON."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import httpx

_SECONDS = 3.0
#: Every server speaks plain HTTP. Without a context of ours, httpx would read the machine's certificates
#: for each client, which takes more processor time than the answer.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# httpx logs each request at level INFO. No program needs that: each logs what matters of the answer itself.
logging.getLogger("httpx").setLevel(logging.WARNING)


def open_client(base_url: str, seconds: float, *, connections: int | None = None) -> httpx.Client:
    """A client of one server.

    Args:
        base_url: what the paths of requests are appended to.
        seconds: how long it may take until the next part of an answer is there.
        connections: how many are kept for later requests; None: as many as httpx keeps.
    """
    limits = httpx.Limits(max_keepalive_connections=connections)
    return httpx.Client(base_url=base_url, timeout=seconds, trust_env=False, verify=_NO_TLS, limits=limits)


#: For single questions to any server. Each has its own connection: an old one fails after a server's restart.
http = open_client("", _SECONDS, connections=0)


def parsed(answer: httpx.Response) -> Any:
    """The answer's JSON.

    Raises:
        LookupError: the answer is not JSON, because another server than the wanted one answers there.
    """
    try:
        return answer.json()
    except ValueError as fault:
        place = answer.request.url.netloc.decode()
        raise LookupError(f"another server answers at {place}: see the hosts and ports in .env") from fault
