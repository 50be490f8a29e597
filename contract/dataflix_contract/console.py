"""The console and the progress bars of all programs that print with rich, on which each must depend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import console as rich_console
from rich.text import Text

from dataflix_contract.terminal import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_SECONDS_BETWEEN_LINES = 5.0


class Console(rich_console.Console):
    """Rich's console, made safe for text that others wrote: titles, names, and messages of servers.

    Control characters are shown and not obeyed, and ``:cat:`` does not become a picture. Use this instead of
    rich's own console, and escape text beside markup: a title can be ``[bold]``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make control characters visible: rich calls this for each string that it prints, also in tables."""
        return super().render_str(visible(text), **options)


@contextmanager
def progress(
    title: str, console: rich_console.Console, total: int | None = None, done: int = 0
) -> Iterator[Progress]:
    """Show how far a piece of work is, until the block ends: a bar on a terminal, lines elsewhere.

    Args:
        title: the name of the work.
        console: where to show it, usually standard error.
        total: how much there is to do; None: not known yet.
        done: how much of it was done before.
    """
    if not console.is_terminal:
        yield Progress(title, console, None, total, done)
        return
    from rich.progress import (  # noqa: PLC0415 - most programs show no bar
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415

    words = TextColumn("{task.description}", markup=False)  # a title may be the name of a file
    columns = (words, BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        yield Progress(title, console, bars, total, done)


class Progress:
    """One piece of work. See :func:`progress`, which makes it."""

    def __init__(
        self, title: str, console: rich_console.Console, bars: Bars | None, total: int | None, done: int
    ) -> None:
        self._title, self._console, self._bars, self._total, self._done = title, console, bars, total, done
        self._task = bars.add_task(title, total=total, completed=done) if bars else None
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES

    def tell(self, text: str) -> None:
        """Show a text about the work's present state or result."""
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=f"{self._title}: {text}")
        else:
            self._print(text)

    def expect(self, total: int) -> None:
        """Say how much there is to do."""
        self._total = total
        if self._bars and self._task is not None:
            self._bars.update(self._task, total=total or None)

    def advance(self, amount: int) -> None:
        """Note that so much more is done.

        Without a terminal, a line every few seconds and one at the end say how far the work is.
        """
        self._done += amount
        if self._bars and self._task is not None:
            self._bars.advance(self._task, amount)
        elif self._total and (self._done >= self._total or time.monotonic() >= self._next_line):
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            self._print(f"{100 * self._done // self._total} %")

    def _print(self, text: str) -> None:
        self._console.print(f"{self._title}: {text}", markup=False, highlight=False, soft_wrap=True)
