"""``dataflix-status``: every service, and how the pipeline does inside."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from dataflix_checker import health
from dataflix_checker.health import Backlog, Batch, Capture, Connector, Reconciled, Run, Unknown
from dataflix_checker.probes import NOT_READY, LoginRefusedError, probes
from dataflix_contract.terminal import make_output_safe
from dataflix_stack import processes
from dataflix_stack.services import Service
from dataflix_stack.stack import Stack, load_stack
from dataflix_stack.supervision import State
from dataflix_stack.told import told

make_output_safe()
app = typer.Typer(pretty_exceptions_enable=False)

_COLOURS = {"ready": "green", "starting": "yellow"}


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service: ``ready``, ``starting`` (runs, does not answer yet), ``stopped``, or worse."""

    service: str
    state: str
    pid: int | None
    uptime_s: int | None
    memory_mb: int | None
    ports: list[int]


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The whole stack at one moment."""

    services: list[ServiceStatus]
    capture: Capture
    backlog: Backlog | Unknown
    batch: Batch | None

    @property
    def supervised(self) -> bool:
        """Whether a supervisor watches over the services."""
        return self.services[0].state == "ready"

    @property
    def faults(self) -> list[str]:
        """What is not as it should be; nothing, when the stack works."""
        found = [f"{one.service} is {one.state}" for one in self.services if one.state != "ready"]
        parts: dict[str, object] = {"backlog": self.backlog}
        if self.batch:
            parts |= {"last run": self.batch, "champion": self.batch.champion}
        found += self.capture.faults
        return found + [f"{name}: {fault}" for name, part in parts.items() if (fault := _fault(part))]

    def plain(self) -> dict[str, Any]:
        """The status as JSON has it."""
        return {
            "ready": not self.faults,
            "faults": self.faults,
            "services": [asdict(one) for one in self.services],
            "memory_mb": sum(one.memory_mb or 0 for one in self.services),
            "warnings": self.capture.warnings,
            "connector": _plain_connector(self.capture.connector),
            "slot": _plain_slot(self.capture),
            **asdict(self.backlog if isinstance(self.backlog, Backlog) else Backlog({}, 0)),
            "batch": asdict(self.batch) if self.batch else None,
        }


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show every service and the pipeline's health; exit code 1 when something is not ready."""
    console = Console(stderr=True)
    with told(console):
        status = look(load_stack(console))
    if as_json:
        json.dump(status.plain(), sys.stdout, indent=2)
    else:
        _draw(Console(), status)
    raise typer.Exit(1 if status.faults else 0)


def look(stack: Stack) -> StackStatus:
    """Ask everything at once."""
    described = stack.services()
    supervisor = stack.supervisor
    alive = supervisor.alive
    states = supervisor.states() if alive else {}
    orphans = {} if alive else processes.all_recorded(stack.layout.run)
    settings = stack.settings
    with ThreadPoolExecutor(len(described) + 3) as pool:
        capture = pool.submit(health.capture, settings)
        backlog = pool.submit(health.ask, health.backlog, settings)
        batch = pool.submit(health.batch, settings) if settings.profile == "full" else None
        rows = list(pool.map(lambda one: _service(stack, one, states.get(one.name), orphans), described))
        return StackStatus(
            [_supervisor(stack), *rows],
            capture.result(),
            backlog.result(),
            batch.result() if batch else None,
        )


def _supervisor(stack: Stack) -> ServiceStatus:
    pid = processes.recorded(stack.layout.run, processes.SUPERVISOR)
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
    except psutil.NoSuchProcess:  # it died while we looked
        return ServiceStatus(name, "stopped", None, None, None, ports)
    return ServiceStatus(name, state, pid, uptime, memory, ports)


def _megabytes(process: psutil.Process, *, children: bool) -> int:
    """What the process and its children hold; memory that they share counts once."""
    family = [process, *(process.children(recursive=True) if children else [])]
    return sum(_share(member) for member in family) >> 20


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:  # another account's, where the kernel hides its maps
        return int(process.memory_info().rss)


def _plain_connector(connector: Connector | Unknown | None) -> dict[str, Any] | None:
    return asdict(connector.status) if isinstance(connector, Connector) else None


def _plain_slot(capture: Capture) -> dict[str, Any] | None:
    if capture.slot is None:
        return None
    return {
        "active": capture.slot.active_pid is not None,
        "wal_status": capture.slot.wal_status,
        "held_bytes": capture.slot.retained_bytes,
        "lag_bytes": capture.slot.lag_bytes,
        "stalled_s": round(capture.stalled_s),
    }


def _fault(part: object) -> str:
    return str(getattr(part, "fault", ""))


def _draw(console: Console, status: StackStatus) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "pid", "uptime", "memory", "port"):
        table.add_column(heading, justify="left" if heading in {"service", "state"} else "right")
    for one in status.services:
        colour = _COLOURS.get(one.state, "red")
        table.add_row(
            one.service,
            f"[{colour}]{one.state}[/]",
            str(one.pid or ""),
            _duration(one.uptime_s),
            "" if one.memory_mb is None else f"{one.memory_mb} MB",
            " ".join(map(str, one.ports)),
        )
    console.print(table)
    console.print(f"\nmemory        {sum(one.memory_mb or 0 for one in status.services)} MB")
    for line in _health_lines(status):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for warning in status.capture.warnings:
        console.print(warning, style="yellow", soft_wrap=True, highlight=False, markup=False)
    for fault in status.faults if status.supervised else ["the stack does not run: ./run.sh starts it"]:
        console.print(fault, style="red", soft_wrap=True, highlight=False, markup=False)


def _health_lines(status: StackStatus) -> Iterable[str]:
    capture = status.capture
    if isinstance(capture.connector, Connector):
        yield f"connector     {capture.connector.status.connector}, task {capture.connector.status.task}"
    if slot := capture.slot:
        reader = "read" if slot.active_pid else "not read"
        moves = f", has not advanced for {capture.stalled_s:.0f} s" if capture.stalled_s else ""
        yield f"slot          {reader}, {slot.wal_status}, {slot.retained_bytes:,} bytes of WAL{moves}"
    if isinstance(status.backlog, Backlog):
        behind = ", ".join(f"{group} {lag:,}" for group, lag in status.backlog.lag.items() if lag)
        yield f"lag           {behind or '0 in every consumer group'}"
        kept = status.backlog.dead_letters
        yield f"dead letters  {kept}{' records, bin/dataflix-dlq list shows which wait' if kept else ''}"
    if status.batch:
        yield from _batch_lines(status.batch)


def _batch_lines(batch: Batch) -> Iterable[str]:
    if isinstance(batch.run, Run):
        yield f"last run      {f'{batch.run.state}, {batch.run.run_id}' if batch.run.run_id else 'none yet'}"
    if batch.reason:
        yield f"              {batch.reason}"
    if isinstance(batch.reconciled, Reconciled):
        found = batch.reconciled
        counts = f"{found.missing:,} missing, {found.different:,} different, {found.ghosts:,} ghosts"
        yield f"reconciled    {f'{found.rows:,} rows, {counts}' if found.run_id else 'never yet'}"
    if told := batch.champion_told:
        yield f"champion      {told}"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
