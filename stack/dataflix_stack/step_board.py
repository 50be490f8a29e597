"""Show people what a start or a stop is doing: a live table, or lines where no terminal is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

_MARKS = {"waiting": "[dim]", "working": "[yellow]", "done": "[green]", "failed": "[red]"}


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


class Board(AbstractContextManager["Board"]):
    """The table: one row for each step, told about from any thread."""

    def __init__(self, console: Console, steps: Sequence[str], finished: str) -> None:
        """Args: where to draw, the steps in order, and the word for a finished one."""
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
