"""Progress for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]

_SECONDS_BETWEEN_LINES = 5.0


@contextlib.contextmanager
def progress(title: str, total: int, console: Console, start: int = 0) -> Iterator[Advance]:
    """Show how far a task is; yields a function to call with how much more is done."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=total, completed=start)
            yield lambda amount: bar.advance(task, amount)
    else:
        yield _Lines(title, total, console, start).advance


class _Lines:
    """Writes ``title: 40 %`` every few seconds, and once at the end."""

    def __init__(self, title: str, total: int, console: Console, start: int) -> None:
        self._title, self._total, self._console, self._done = title, total, console, start
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def advance(self, amount: int) -> None:
        self._done += amount
        now = time.monotonic()
        if self._done >= self._total or now >= self._next:
            self._next = now + _SECONDS_BETWEEN_LINES
            percent = 100 * self._done // max(self._total, 1)
            self._console.print(f"{self._title}: {percent} %", highlight=False)
