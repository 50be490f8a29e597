"""The program ``dataflix-containers``: does the work of ``dataflix-status`` for a stack in containers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dataflix_clients.stack_status import ServiceStatus, draw, look
from dataflix_contract import SettingsError, load_settings
from dataflix_contract.console import Console
from dataflix_contract.settings_file import ENV_FILE_VARIABLE
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False)

_COMPOSE = Path(__file__).resolve().parents[2] / "scripts" / "compose"
_SERVICE_LABEL = "com.docker.compose.service"
_ONE_OFF_LABEL = "com.docker.compose.oneoff"
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class ContainersError(Exception):
    """The container engine did not give the containers' states; the message has its error."""


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show every container and the pipeline's health; exit code 1: something is not ready."""
    try:
        status = look(load_settings(), services)
    except (ContainersError, SettingsError) as fault:
        typer.echo(f"dataflix-status: {fault}", err=True)
        raise typer.Exit(1) from fault
    if as_json:
        json.dump(status.plain(), sys.stdout, indent=2)
    else:
        draw(Console(), status)
    raise typer.Exit(1 if status.faults else 0)


def services() -> list[ServiceStatus]:
    """The state of every container of this checkout's stack, except those that ended as they should.

    Raises:
        ContainersError: the engine does not answer.
    """
    settings = os.environ.get(ENV_FILE_VARIABLE)
    chosen = ["--env-file", settings] if settings else []
    containers = _run(str(_COMPOSE), *chosen, "ps", "--all", "--quiet").split()
    if not containers:
        return []
    seen = json.loads(_run("docker", "inspect", *containers))
    used = _run("docker", "stats", "--no-stream", "--format", "{{json .}}", *containers)
    memory = {one["ID"][:12]: one["MemUsage"] for one in map(json.loads, used.splitlines())}
    now = datetime.now(UTC)
    rows = (read_container(one, memory.get(one["Id"][:12], ""), now) for one in seen)
    return sorted(filter(None, rows), key=lambda row: row.service)


def read_container(seen: Mapping[str, Any], used: str, now: datetime) -> ServiceStatus | None:
    """Read a container's state; None for one that ended with success, or ran a single command.

    Args:
        seen: the container's element in the output of ``docker inspect``.
        used: its memory in the output of ``docker stats``, such as ``123.4MiB / 1GiB``.
        now: the present time, from which its uptime is computed.
    """
    labels, state = seen["Config"]["Labels"], seen["State"]
    if labels.get(_ONE_OFF_LABEL) == "True" or (state["Status"] == "exited" and state["ExitCode"] == 0):
        return None
    running = state["Status"] == "running"
    return ServiceStatus(
        service=labels[_SERVICE_LABEL],
        state=_state(state),
        pid=state["Pid"] or None,
        uptime_s=int((now - _moment(state["StartedAt"])).total_seconds()) if running else None,
        memory_mb=_megabytes(used) if running else None,
        ports=_published(seen["NetworkSettings"]["Ports"]),
    )


def _state(state: Mapping[str, Any]) -> str:
    status = str(state["Status"])
    if status != "running":
        return f"{status} with {state['ExitCode']}" if status == "exited" else status
    health = str(state.get("Health", {}).get("Status", ""))
    return "ready" if health in {"", "healthy"} else health


def _moment(text: str) -> datetime:
    """Read a timestamp of Docker's, whose fraction of a second has more digits than Python reads."""
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text))


def _megabytes(used: str) -> int | None:
    found = re.match(r"([\d.]+)([KMG]?i?B)", used)
    return int(float(found[1]) * _UNITS[found[2]]) >> 20 if found else None


def _published(ports: Mapping[str, list[Mapping[str, str]] | None]) -> list[int]:
    return sorted({int(one["HostPort"]) for published in ports.values() for one in published or ()})


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContainersError(f"the container engine cannot be asked: {done.stderr.strip()}")
    return done.stdout
