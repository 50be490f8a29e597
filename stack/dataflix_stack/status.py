"""The program ``dataflix-status``: shows every service of the stack, and the health of the pipeline."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import psutil
import typer

from dataflix_clients.readiness import NOT_READY, LoginRefusedError, probes
from dataflix_clients.stack_status import ServiceStatus, StackStatus, draw
from dataflix_clients.stack_status import look as look_at
from dataflix_contract.console import Console
from dataflix_contract.terminal import make_output_safe
from dataflix_stack import supervision
from dataflix_stack.services import Service
from dataflix_stack.stack import Stack, exit_on_fault, load_stack
from dataflix_stack.supervision import State

make_output_safe()
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show every service and the pipeline's health; exit code 1: something is not ready."""
    console = Console(stderr=True)
    with exit_on_fault(console):
        status = look(load_stack(console))
    if as_json:
        json.dump(status.plain(), sys.stdout, indent=2)
    else:
        draw(Console(), status, running=status.services[0].state == "ready")
    raise typer.Exit(1 if status.faults else 0)


def look(stack: Stack) -> StackStatus:
    """Ask all services and servers at the same time; the supervisor is the first service."""
    return look_at(stack.settings, lambda: _services(stack))


def _services(stack: Stack) -> list[ServiceStatus]:
    described = stack.services()
    supervisor = stack.supervisor
    alive = supervisor.alive
    states = supervisor.states() if alive else {}
    orphans = {} if alive else supervision.all_recorded(stack.layout.run)
    with ThreadPoolExecutor(len(described)) as pool:
        rows = pool.map(lambda one: _service(stack, one, states.get(one.name), orphans), described)
        return [_supervisor(stack), *rows]


def _supervisor(stack: Stack) -> ServiceStatus:
    pid = supervision.recorded(stack.layout.run, supervision.SUPERVISOR)
    return _row("supervisor", "ready" if pid else "stopped", pid, [], children=False)


def _service(stack: Stack, service: Service, state: State | None, orphans: dict[str, int]) -> ServiceStatus:
    ports = [port.number for port in service.ports]
    if state is None:
        orphan = orphans.get(service.name)
        return _row(service.name, "unsupervised" if orphan else "stopped", orphan, ports)
    if not state.running:
        return _row(service.name, state.state.lower(), None, ports)
    try:
        probes(stack.settings)[service.name](stack.settings)
    except (*NOT_READY, LoginRefusedError):
        return _row(service.name, "starting", state.pid, ports)
    return _row(service.name, "ready", state.pid, ports)


def _row(name: str, state: str, pid: int | None, ports: list[int], *, children: bool = True) -> ServiceStatus:
    try:
        process = psutil.Process(pid) if pid else None
        uptime = int(time.time() - process.create_time()) if process else None
        memory = _megabytes(process, children=children) if process else None
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return ServiceStatus(name, "stopped", None, None, None, ports)
    return ServiceStatus(name, state, pid, uptime, memory, ports)


def _megabytes(process: psutil.Process, *, children: bool) -> int:
    """The memory of the process and its children; memory that they share counts once."""
    family = [process, *(process.children(recursive=True) if children else [])]
    return sum(_share(member) for member in family) >> 20


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:  # it belongs to another account, so that the kernel hides its maps
        return int(process.memory_info().rss)
