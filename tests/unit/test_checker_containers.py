"""The state of a container, as ``dataflix-status`` shows it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dataflix_checker.containers import read_container

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def inspected(
    health: str = "", *, oneoff: str = "False", ports: dict[str, Any] | None = None, **state: object
) -> dict[str, Any]:
    """What docker inspect prints, as far as it is read."""
    told = {"Status": "running", "ExitCode": 0, "Pid": 4711, "StartedAt": "2026-11-27T11:58:30.123456789Z"}
    return {
        "Config": {
            "Labels": {"com.docker.compose.service": "kafka", "com.docker.compose.oneoff": oneoff},
        },
        "State": told | ({"Health": {"Status": health}} if health else {}) | state,
        "NetworkSettings": {"Ports": ports or {}},
    }


def test_a_container_that_runs_has_everything_a_process_has() -> None:
    ports = {"19092/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9092"}], "9092/tcp": None}
    row = read_container(inspected("healthy", ports=ports), "1.5GiB / 2GiB", NOW)
    assert row
    assert (row.service, row.state, row.pid, row.uptime_s) == ("kafka", "ready", 4711, 89)
    assert (row.memory_mb, row.ports) == (1536, [9092])


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (inspected("starting"), "starting"),
        (inspected("unhealthy"), "unhealthy"),
        (inspected(), "ready"),
        (inspected(Status="exited", ExitCode=1, Pid=0), "exited with 1"),
        (inspected(Status="restarting", Pid=0), "restarting"),
        (inspected(Status="created", Pid=0, StartedAt="0001-01-01T00:00:00Z"), "created"),
    ],
)
def test_a_state_is_told_in_one_word(seen: dict[str, Any], state: str) -> None:
    row = read_container(seen, "", NOW)
    assert row
    assert row.state == state


@pytest.mark.parametrize("seen", [inspected(Status="exited"), inspected(oneoff="True")])
def test_what_has_done_its_work_is_left_out(seen: dict[str, Any]) -> None:
    assert read_container(seen, "", NOW) is None


@pytest.mark.parametrize(
    ("used", "megabytes"), [("512KiB / 1GiB", 0), ("12.5MiB / 1GiB", 12), ("-- / --", None)]
)
def test_memory_is_read_as_docker_prints_it(used: str, megabytes: int | None) -> None:
    row = read_container(inspected(), used, NOW)
    assert row
    assert row.memory_mb == megabytes
