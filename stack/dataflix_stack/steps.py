"""Run the steps of a start or a stop in parallel, each as soon as the steps that it needs are done.

Among them are the set-up programs of other packages, for schemas, topics, warehouse, connector, sample data
and bucket. The steps are shown in a live table, or without a terminal as lines.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack.launch import lower_priority
from dataflix_stack.paths import console_script
from dataflix_stack.services import BATCH_NICE, masker_names

_POLL_SECONDS = 0.1
_MARKS = {"waiting": "[dim]", "working": "[yellow]", "done": "[green]", "failed": "[red]"}


class StepListener(Protocol):
    """Is told of each step's progress, such as :class:`StepTable`."""

    def begin(self, name: str) -> None:
        """The step has begun."""

    def done(self, name: str) -> None:
        """The step is done."""

    def failed(self, name: str) -> None:
        """The step has failed."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, after the steps that it needs.

    Attributes:
        action: does the work. It gets an event; once that is set, another step has failed, and the action
            should return soon.
    """

    name: str
    needs: Sequence[str]
    action: Callable[[threading.Event], None]


def run_steps(steps: Sequence[Step], listener: StepListener) -> None:
    """Run all steps; the first failure stops the others, and is raised."""
    by_name = {step.name: step for step in steps}
    order = TopologicalSorter({step.name: step.needs for step in steps})
    order.prepare()
    abandoned = threading.Event()
    with ThreadPoolExecutor(len(steps)) as pool:
        running: dict[Future[None], str] = {}
        try:
            while order.is_active():
                for name in order.get_ready():
                    listener.begin(name)
                    running[pool.submit(by_name[name].action, abandoned)] = name
                _finish_one(running, order, listener)
        except BaseException:
            abandoned.set()
            raise


def _finish_one(
    running: dict[Future[None], str], order: TopologicalSorter[str], listener: StepListener
) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        name = running.pop(future)
        try:
            future.result()
        except BaseException:
            listener.failed(name)
            raise
        listener.done(name)
        order.done(name)


@dataclass(frozen=True, slots=True)
class SetUp:
    """A program that sets something up or brings it up to date; it may be run again at any time."""

    name: str
    argv: Sequence[str]
    needs: Sequence[str]
    nice: int = 0


def set_ups(settings: Settings) -> list[SetUp]:
    """The set-up programs, in the order of a start."""
    stream = [
        SetUp("migrate", ["dataflix-migrate"], ["postgres"]),
        SetUp("topics", ["dataflix-connector", "topics"], ["kafka"]),
        SetUp("warehouse", ["dataflix-warehouse"], ["clickhouse", "topics"]),
        SetUp("register", ["dataflix-connector", "register"], ["connect", "migrate", "topics"]),
        SetUp("seed", ["dataflix-seed"], ["register", "warehouse", *masker_names(settings)]),
    ]
    if settings.profile == "core":
        return stream
    return [
        *stream,
        SetUp("databases", ["dataflix-databases"], ["postgres"]),
        SetUp("airflow-migrate", ["dataflix-airflow", "migrate"], ["databases"], BATCH_NICE),
        SetUp("bucket", ["dataflix-mlflow", "bucket"], ["s3"], BATCH_NICE),
    ]


def run_set_up(one: SetUp, environment: Mapping[str, str], logs: Path, abandoned: threading.Event) -> None:
    """Run a set-up program to its end, with its output in its own log.

    Raises:
        Fault: it failed; the message has the log's last lines.
    """
    program, *arguments = one.argv
    log = logs / f"{one.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(console_script(program)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
        lower_priority(process.pid, one.nice)
        while process.poll() is None:
            if abandoned.wait(_POLL_SECONDS):
                process.terminate()
                process.wait()
                return
    if process.returncode:
        raise Fault(f"{' '.join(one.argv)} failed with code {process.returncode}:\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@dataclass(slots=True)
class _Row:
    state: str = "waiting"
    began: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> str:
        if not self.began:
            return ""
        return f"{(self.ended or time.monotonic()) - self.began:.1f} s"


class StepTable(AbstractContextManager["StepTable"]):
    """The live table with a row for each step; any thread may report to it."""

    def __init__(self, console: Console, steps: Sequence[str], finished: str) -> None:
        """Take the console, the names of the steps in order, and the word for a finished step."""
        self._console = console
        self._rows = {name: _Row() for name in steps}
        self._finished = finished
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last state and leave it."""
        if self._console.is_terminal:
            self._live.stop()

    def begin(self, name: str) -> None:
        """The step has begun."""
        self._set(name, "working")

    def done(self, name: str) -> None:
        """The step is done."""
        self._set(name, "done")

    def failed(self, name: str) -> None:
        """The step has failed."""
        self._set(name, "failed")

    def _set(self, name: str, state: str) -> None:
        with self._lock:
            row = self._rows[name]
            row.state = state
            if state == "working":
                row.began = time.monotonic()
            else:
                row.ended = time.monotonic()
        if not self._console.is_terminal and state != "working":
            self._console.print(f"{name:<14} {self._word(state):<8} {row.seconds}")

    def _word(self, state: str) -> str:
        return self._finished if state == "done" else state

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("step", "state", "time"):
            table.add_column(heading, justify="right" if heading == "time" else "left")
        for name, row in self._rows.items():
            table.add_row(name, f"{_MARKS[row.state]}{self._word(row.state)}", row.seconds)
        return table
