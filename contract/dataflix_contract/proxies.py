"""Connect to the stack's own servers directly, even if the environment names a proxy.

If a shell exports ``http_proxy`` without ``no_proxy``, most HTTP libraries send requests for 127.0.0.1,
including logins, to the proxy. ``load_settings`` calls :func:`bypass_proxies`, which prevents that for every
program and the processes that it starts. Downloads from other hosts still go through the proxy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
#: Some libraries read the first of these variables, others the second.
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_EVERYTHING = "*"


def bypass_proxies(hosts: Iterable[str]) -> None:
    """Let this process and its children connect to these hosts, and to this machine, without a proxy.

    A SOCKS proxy is removed from the environment: httpx, which Airflow's tasks use too, does not work at all
    if one is set, even for hosts that are reached without it.
    """
    socks = [
        name
        for name, value in os.environ.items()
        if name.lower() in _PROXIES and value.lower().startswith("socks")
    ]
    for name in socks:
        del os.environ[name]
    os.environ.update(dict.fromkeys(_EXCEPTIONS, no_proxy_value(os.environ, hosts)))


def no_proxy_value(environment: Mapping[str, str], hosts: Iterable[str]) -> str:
    """A value for ``no_proxy``: the environment's values under both names, this machine, and these hosts."""
    given = [
        host  # without the brackets of an IPv6 address, at which httpx fails
        for name in _EXCEPTIONS
        for part in environment.get(name, "").split(",")
        if (host := part.strip(" []"))
    ]
    if _EVERYTHING in given:  # libraries know the asterisk only if it is alone
        return _EVERYTHING
    return ",".join(dict.fromkeys([*given, *_THIS_MACHINE, *hosts]))
