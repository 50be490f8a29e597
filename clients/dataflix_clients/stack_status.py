"""The status of the stack at one moment, as a table and as JSON: services, capture, backlog and batch.

How to find out the state of a service depends on how it was started: the native way and the containers have a
program each for that. What is asked of the servers, what counts as wrong and how it is shown is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from dataflix_clients import postgres
from dataflix_clients.answers import Unknown, ask
from dataflix_clients.batch import Batch, LastRun, Reconciled, read_batch
from dataflix_clients.capture import Capture, judge_answers
from dataflix_clients.connect import Connector, read_connector
from dataflix_clients.kafka import Backlog, read_backlog, read_capture_topics
from dataflix_clients.source_facts import SourceFacts, read_facts
from dataflix_contract import Settings

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
    def faults(self) -> list[str]:
        """What is not as it should be; nothing, when the stack works."""
        found = [f"{one.service} is {one.state}" for one in self.services if one.state != "ready"]
        parts: dict[str, object] = {"backlog": self.backlog}
        if self.batch:
            parts |= {"last run": self.batch, "champion": self.batch.champion}
        found += self.capture.faults
        return found + [f"{name}: {fault}" for name, part in parts.items() if (fault := _fault(part))]

    @property
    def warnings(self) -> list[str]:
        """What somebody should look at although it works."""
        reconciled = self.batch.reconciled if self.batch else None
        found = reconciled.warnings if isinstance(reconciled, Reconciled) else []
        return self.capture.warnings + found

    def plain(self) -> dict[str, Any]:
        """The status as JSON has it; null: a server did not say."""
        return {
            "ready": not self.faults,
            "faults": self.faults,
            "services": [asdict(one) for one in self.services],
            "memory_mb": sum(one.memory_mb or 0 for one in self.services),
            "warnings": self.warnings,
            "connector": _plain_connector(self.capture.connector),
            "slot": _plain_slot(self.capture),
            "lag": self.backlog.lag if isinstance(self.backlog, Backlog) else None,
            "dead_letters": self.backlog.dead_letters if isinstance(self.backlog, Backlog) else None,
            "batch": asdict(self.batch) if self.batch else None,
        }


def look(settings: Settings, services: Callable[[], list[ServiceStatus]]) -> StackStatus:
    """Ask everything at once.

    Args:
        settings: where the servers are.
        services: finds out what each service's state is.
    """
    with ThreadPoolExecutor(3) as pool:
        capture = pool.submit(read_capture, settings)
        backlog = pool.submit(ask, read_backlog, settings)
        batch = pool.submit(read_batch, settings) if settings.profile == "full" else None
        found = services()
        return StackStatus(found, capture.result(), backlog.result(), batch.result() if batch else None)


def read_capture(settings: Settings) -> Capture:
    """Look at the capture of changes, as PostgreSQL, Kafka Connect and Kafka show it."""
    return judge_answers(
        ask(read_source, settings),
        ask(read_connector, settings),
        ask(read_capture_topics, settings),
        settings,
    )


def read_source(settings: Settings) -> SourceFacts:
    """Ask PostgreSQL, as its superuser, for everything that it knows about the capture.

    Raises:
        psycopg.Error: it is away.
    """
    with postgres.connect(settings, settings.postgres_admin) as connection:
        return read_facts(connection, settings)


def draw(console: Console, status: StackStatus, *, running: bool = True) -> None:
    """Print the status for people.

    Args:
        console: where to.
        status: what was seen.
        running: whether the stack was started; if not, only that is reported as wrong.
    """
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
    for warning in status.warnings:
        console.print(warning, style="yellow", soft_wrap=True, highlight=False, markup=False)
    for fault in status.faults if running else ["the stack does not run: ./run.sh starts it"]:
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
    if isinstance(batch.run, LastRun):
        yield f"last run      {f'{batch.run.state}, {batch.run.run_id}' if batch.run.run_id else 'none yet'}"
    if batch.reason:
        yield f"              {batch.reason}"
    if isinstance(batch.reconciled, Reconciled):
        found = batch.reconciled
        counts = f"{found.missing:,} missing, {found.different:,} different, {found.ghosts:,} ghosts"
        yield f"reconciled    {f'{found.rows:,} rows, {counts}' if found.run_id else 'never yet'}"
    if told := batch.champion_description:
        yield f"champion      {told}"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


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
