"""Check whether ports are free, and find the process that has one."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from dataflix_stack.services import Port, Service


def is_free(bind: str, number: int) -> bool:
    """Whether a server could listen at this address and port now."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        bind, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError:
            return False
    return True


def taken(bind: str, services: Iterable[Service]) -> list[str]:
    """A message for each of the services' ports that is not free."""
    return [
        _sentence(service, port)
        for service in services
        for port in service.ports
        if not is_free(bind, port.number)
    ]


def _sentence(service: Service, port: Port) -> str:
    return (
        f"port {port.number} of {service.name} is taken by {_holder(port.number)}:"
        f" stop that, or set {port.setting} to another port in the settings file"
    )


def _holder(number: int) -> str:
    import psutil  # noqa: PLC0415 - the image that renders the configuration does not have it

    for connection in psutil.net_connections(kind="tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == number
            and connection.pid
        ):
            process = psutil.Process(connection.pid)
            return f"process {process.pid} ({process.name()})"
    return "a process of another account"
