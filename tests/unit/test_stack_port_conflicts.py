"""Ports that are taken, and by whom."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflix_stack.port_conflicts import is_free, taken
from dataflix_stack.services import Port, Service


def service(name: str, number: int) -> Service:
    return Service(name, ["x"], [Port(number, f"DATAFLIX_{name.upper()}_PORT")], Path("/"))


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_says_who_has_the_port_and_what_to_change(occupied: int) -> None:
    [sentence] = taken("127.0.0.1", [service("kafka", occupied)])
    assert f"port {occupied} of kafka is taken by process {os.getpid()}" in sentence
    assert "DATAFLIX_KAFKA_PORT" in sentence


def test_a_port_is_free_again(occupied: int) -> None:
    assert not is_free("127.0.0.1", occupied)
    assert is_free("127.0.0.9", occupied)
