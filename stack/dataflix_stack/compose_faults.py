"""What to do about a failure of ``docker compose``, read from what it printed.

``scripts/compose explain FILE`` runs this with the stack's settings in the environment, and ``./run.sh``
prints what comes of it. Nothing but Python's own library is needed, because no environment may be
installed yet.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: A published port in docker-compose.yml: "ADDRESS:${SETTING:-DEFAULT}:PORT".
_PUBLISHED = re.compile(r":\$\{(?P<setting>DATAFLIX_\w+_PORT):-(?P<default>\d+)\}:")
_SERVICE = re.compile(r"  (?P<name>[\w-]+):")
#: An address that the engine could not listen at; each version of the engine has its own words around it.
_REFUSED = (
    re.compile(r"[Bb]ind for \S*?:(?P<port>\d+) failed: port is already allocated"),
    re.compile(r"listen tcp\d? \S*?:(?P<port>\d+): bind: (?:address already in use|permission denied)"),
    re.compile(r"failed to bind host port (?:for )?\S*?:(?P<port>\d+)[:/]"),
    re.compile(r"ports are not available: exposing port TCP \S*?:(?P<port>\d+)"),
)
_FAILED = (
    re.compile(r"container (?P<container>\S+) (?:is unhealthy|exited \([1-9]\d*\)|has no healthcheck)"),
    re.compile(r'service "(?P<container>[\w-]+)" didn\'t complete successfully'),
)
_NO_SPACE = re.compile(r"no space left on device|ENOSPC|disk quota exceeded", re.IGNORECASE)
_RATE_LIMIT = re.compile(r"toomanyrequests|pull rate limit", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"dial tcp|no such host|network is unreachable|name resolution|could not resolve|resolve host|dns error"
    r"|failed to lookup address|tls handshake timeout|i/o timeout|proxyconnect|client\.timeout exceeded"
    r"|failed to resolve source metadata|certificate signed by unknown authority|certificate verify failed",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port that a service's container publishes, and the setting that says which one."""

    service: str
    setting: str
    number: int


def published_ports(compose: str, environ: Mapping[str, str]) -> Iterator[PublishedPort]:
    """The ports that docker-compose.yml publishes with these settings.

    Args:
        compose: the text of docker-compose.yml.
        environ: the settings, by the names of their variables.
    """
    service = ""
    for line in compose.partition("\nservices:")[2].splitlines():
        if found := _SERVICE.fullmatch(line):
            service = found["name"]
        for port in _PUBLISHED.finditer(line):
            yield PublishedPort(
                service, port["setting"], int(environ.get(port["setting"]) or port["default"])
            )


def failed_services(output: str, compose: str) -> list[str]:
    """The services whose containers the output calls unhealthy, or ended with an error."""
    names = sorted(_services(compose), key=len, reverse=True)
    found = [match["container"] for pattern in _FAILED for match in pattern.finditer(output)]
    services = [next((name for name in names if _is_of(container, name)), "") for container in found]
    return list(dict.fromkeys(filter(None, services)))


def explain(output: str, compose: str, environ: Mapping[str, str]) -> list[str]:
    """What to do about a failed ``docker compose build`` or ``up``, a sentence for each cause."""
    sentences = []
    refused = {int(found["port"]) for pattern in _REFUSED for found in pattern.finditer(output)}
    for port in published_ports(compose, environ):
        if port.number in refused:
            sentences.append(
                f"port {port.number} of {port.service} is taken or not permitted: stop the program that has"
                f" it, or set {port.setting} to another port in the settings file"
            )
            refused.discard(port.number)
    sentences += [
        f"port {number} is taken or not permitted: stop the program that has it" for number in sorted(refused)
    ]
    if _NO_SPACE.search(output):
        sentences.append(
            "the container engine's disk is full: docker system df shows what it holds, and"
            " docker builder prune frees what only speeds up building"
        )
    elif _RATE_LIMIT.search(output):
        sentences.append("the image registry refuses more downloads for now: docker login raises its limit")
    elif _NO_NETWORK.search(output):
        sentences.append(
            "something could not be downloaded: check this machine's network and the engine's proxy settings,"
            " then run the same again; what has been downloaded is kept"
        )
    sentences += [f"scripts/compose logs {name} says more" for name in failed_services(output, compose)]
    return sentences


def _services(compose: str) -> list[str]:
    body = compose.partition("\nservices:")[2].partition("\nnetworks:")[0]
    return [found["name"] for line in body.splitlines() if (found := _SERVICE.fullmatch(line))]


def _is_of(container: str, service: str) -> bool:
    return container == service or re.search(rf"-{re.escape(service)}-\d+$", container) is not None


def main(arguments: list[str]) -> int:
    """Entry point: print the sentences, or the services that failed."""
    parser = argparse.ArgumentParser(prog="scripts/compose explain", description=explain.__doc__)
    parser.add_argument("compose", type=Path, help="docker-compose.yml")
    parser.add_argument("output", type=Path, help="what docker compose printed")
    parser.add_argument("--services", action="store_true", help="print the services that failed instead")
    asked = parser.parse_args(arguments)
    output = asked.output.read_text(encoding="utf-8", errors="replace")
    compose = asked.compose.read_text(encoding="utf-8")
    lines = failed_services(output, compose) if asked.services else explain(output, compose, os.environ)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
