"""Proxies are for what is outside of the stack: its own servers are always asked directly.

A shell that exports ``http_proxy`` without ``no_proxy`` would have most HTTP libraries send a request for
127.0.0.1, login included, to the proxy. ``load_settings`` calls :func:`bypass_proxies`, so that every program
and every process that it starts is safe from that, natively and in containers. What is downloaded from other
hosts still goes through the proxy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
#: Libraries differ in which of the two they read.
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_EVERYTHING = "*"


def bypass_proxies(hosts: Iterable[str]) -> None:
    """Have this process and its children connect to these hosts, and to this machine, without a proxy.

    A SOCKS proxy is removed from the environment: httpx, which Airflow's tasks use too, refuses to work at
    all where one is set, even for hosts that are not reached by it.
    """
    socks = [
        name
        for name, value in os.environ.items()
        if name.lower() in _PROXIES and value.lower().startswith("socks")
    ]
    for name in socks:
        del os.environ[name]
    os.environ.update(dict.fromkeys(_EXCEPTIONS, exceptions(os.environ, hosts)))


def exceptions(environment: Mapping[str, str], hosts: Iterable[str]) -> str:
    """A value for ``no_proxy``: what the environment has under either name, this machine, and these hosts."""
    given = [
        host  # without the brackets of an IPv6 address, at which httpx fails
        for name in _EXCEPTIONS
        for part in environment.get(name, "").split(",")
        if (host := part.strip(" []"))
    ]
    if _EVERYTHING in given:  # libraries know the asterisk only where it stands alone
        return _EVERYTHING
    return ",".join(dict.fromkeys([*given, *_THIS_MACHINE, *hosts]))
