"""Progress for people: a bar on a terminal, lines elsewhere; always on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def telling(table: str, console: Console) -> Iterator[Bar | Lines]:
    """Who to tell how far a table is."""
    if not console.is_terminal:
        yield Lines(table, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(table, progress, progress.add_task(table, total=None))


class Lines:
    """A line for each thing that is told."""

    def __init__(self, table: str, console: Console) -> None:
        self._table, self._console = table, console

    def tell(self, line: str) -> None:
        """Write the line."""
        self._console.print(f"{self._table}: {line}", markup=False, highlight=False, soft_wrap=True)

    def expect(self, rows: int) -> None:
        """Say what comes."""
        self.tell(f"loading about {rows:,} rows" if rows else "loading")

    def advance(self, rows: int) -> None:
        """Say nothing: there are many blocks."""


class Bar:
    """A bar of the rows loaded, beside the last thing that was told."""

    def __init__(self, table: str, progress: Progress, task: TaskID) -> None:
        self._table, self._progress, self._task = table, progress, task

    def tell(self, line: str) -> None:
        """Show the line."""
        self._progress.update(self._task, description=f"{self._table}: {line}")

    def expect(self, rows: int) -> None:
        """Begin the bar."""
        self._progress.update(self._task, description=f"{self._table}: loading", total=rows or None)

    def advance(self, rows: int) -> None:
        """Let the bar grow."""
        self._progress.advance(self._task, rows)
