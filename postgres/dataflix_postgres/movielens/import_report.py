"""Report the result of an import: counts and rejected lines of each file, for people and for programs."""

from __future__ import annotations

import csv
import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from rich.table import Table

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.records import Reason

#: How many line numbers are shown for each reason; the rejects file has all of them.
_EXAMPLES = 5
_TEXT_SHOWN = 500
#: If a greater share of ratings is 0 or above five stars, the file has another scale; fewer are mere errors.
SHARE_OF_ANOTHER_SCALE = 0.05


class Reject(NamedTuple):
    """A line that was not loaded: its number, the reason, and its decoded text."""

    line: int
    reason: Reason
    text: str


@dataclass(slots=True)
class FileReport:
    """The result for one file, including earlier interrupted runs of the import.

    Attributes:
        file: the file's name.
        encoding: the name of its encoding.
        separator: the name of its separator.
        loaded: rows that are in the database.
        rejected: refused lines by reason.
        examples: numbers of some lines that this run refused, by reason.
        seconds: how long this run took.
        rows_this_run: rows that this run loaded.
        unchanged: whether an earlier run had finished the file.
    """

    file: str
    encoding: str = ""
    separator: str = ""
    loaded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    rows_this_run: int = 0
    unchanged: bool = False

    @property
    def read(self) -> int:
        """How many lines were read, without the header."""
        return self.loaded + self.rejected.total()

    @property
    def unusable(self) -> int:
        """How many lines were rejected, without duplicates, which are no fault of the file's format."""
        return self.rejected.total() - self.rejected[Reason.DUPLICATE.value]

    @property
    def rows_per_second(self) -> int:
        """Rows loaded in a second by this run."""
        return round(self.rows_this_run / self.seconds) if self.seconds else 0

    @property
    def has_another_scale(self) -> bool:
        """Whether so many ratings are 0 or above five stars that the file must have another scale."""
        return SHARE_OF_ANOTHER_SCALE * self.read < self.rejected[Reason.SCALE.value]

    def add(self, loaded: int, rejects: Iterable[Reject]) -> None:
        """Add the counts of a batch."""
        self.loaded += loaded
        self.rows_this_run += loaded
        for reject in rejects:
            reason = reject.reason.value
            self.rejected[reason] += 1
            lines = self.examples.setdefault(reason, [])
            if len(lines) < _EXAMPLES:
                lines.append(reject.line)

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {
            "file": self.file,
            "encoding": self.encoding,
            "separator": self.separator,
            "read": self.read,
            "loaded": self.loaded,
            "rejected": dict(self.rejected),
            "rejected_lines": self.examples,
            "unchanged": self.unchanged,
            "seconds": round(self.seconds, 3),
            "rows_per_second": self.rows_per_second,
        }


_HEADER = ("file", "line", "reason", "text")


class RejectsFile:
    """Writes rejected lines to a CSV file; without a path, it does nothing.

    If the import is killed after a batch was written here and before it was committed, the next run writes
    the batch again.
    """

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        self._path = path
        try:
            _spare_other_files(path)
            self._stream = (
                None if path is None else path.open("a" if resume else "w", encoding="utf-8", newline="")
            )
        except OSError as error:
            raise _unwritable(path, error) from error
        if self._stream is not None and self._stream.tell() == 0:
            csv.writer(self._stream).writerow(_HEADER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is None:
            return
        try:
            self._stream.close()
        except OSError as fault:
            if error is None:  # otherwise `write` has raised it already
                raise _unwritable(self._path, fault) from fault

    def write(self, file: str, rejects: Sequence[Reject]) -> None:
        """Write the rejects of a batch, before it is committed."""
        if self._stream is None or not rejects:
            return
        try:
            csv.writer(self._stream).writerows(
                (file, each.line, each.reason.value, _printable(each.text[:_TEXT_SHOWN])) for each in rejects
            )
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _spare_other_files(path: Path | None) -> None:
    """Refuse to overwrite a file that is no file of rejects, such as one of the data set."""
    if path is None or not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as stream:
        if stream.readline().strip() != ",".join(_HEADER).encode():
            raise Fault(f"{path} is there and holds no rejects: give --rejects a file that is not there yet")


def _unwritable(path: Path | None, error: OSError) -> Fault:
    advice = "Give --rejects a file in a folder that is there and in which you may write"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        advice = "Make room there, or give --rejects a file on another disk"
    return Fault(f"cannot write the rejects to {path}: {error.strerror}. {advice}")


def _printable(text: str) -> str:
    """The text with replacement characters for bytes that could not be decoded."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_table(reports: Iterable[FileReport]) -> Table:
    """The reports as a table for people."""
    table = Table("file", title="MovieLens import")
    for heading in ("read", "loaded", "rejected", "seconds", "rows/s"):
        table.add_column(heading, justify="right")
    for each in reports:
        speed = ("unchanged", "") if each.unchanged else (f"{each.seconds:.1f}", f"{each.rows_per_second:,}")
        table.add_row(each.file, f"{each.read:,}", f"{each.loaded:,}", f"{each.rejected.total():,}", *speed)
    return table


def reject_lines(reports: Iterable[FileReport]) -> list[str]:
    """One line for each file and reason, with some line numbers."""
    return [
        f"{each.file}: {count:,} rejected: {reason}" + _where(each.examples.get(reason, []), count)
        for each in reports
        for reason, count in each.rejected.most_common()
    ]


def _where(lines: Sequence[int], count: int) -> str:
    return f" ({some_lines(lines, count)})" if lines else ""


def some_lines(lines: Sequence[int], count: int) -> str:
    """A text with the first of ``count`` numbers of lines."""
    if count == 1:
        return f"line {lines[0]}"
    more = ", ..." if count > len(lines) else ""
    return f"lines {', '.join(map(str, lines))}{more}"
