"""The report of a reconciliation: what differed in a table, and what the stream had to do with it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from rich.table import Table as RichTable


class Stream(enum.Enum):
    """What the stream had delivered when the differences were counted."""

    UNASKED = "unasked"
    PASSED = "passed"
    ALTERED = "altered"
    BEHIND = "behind"
    DOWN = "down"

    @property
    def meaning(self) -> str:
        """What that says about the differences, in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Stream.UNASKED: "nothing differed",
    Stream.PASSED: "it had delivered everything: it lost or garbled these,"
    " unless somebody changed them in the warehouse",
    Stream.ALTERED: "it had delivered everything; the table was rewritten or altered at the source since the"
    " last reconciliation, which sends no change events: that may explain these differences",
    Stream.BEHIND: "it was too far behind: some of these may have been on their way",
    Stream.DOWN: "it did not move: some of these may have been on their way",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that are not what they should be."""

    missing: int = 0
    different: int = 0
    ghosts: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.missing + self.different + self.ghosts

    def largest(self, other: Self) -> Counts:
        """The larger one of each count."""
        return Counts(
            max(self.missing, other.missing),
            max(self.different, other.different),
            max(self.ghosts, other.ghosts),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """One table's outcome.

    Attributes:
        run_id: the run of the daily batch, or the name of this run alone.
        table: the table.
        fence: the version of repaired rows.
        rows: the source's rows that were compared.
        counts: what differed, and is repaired.
        truncated: rows that a TRUNCATE of the source removed and the warehouse still had; this is no error.
        in_flight: differences that the stream removed by itself while we waited for it.
        ahead: rows with a version that the source's WAL has not reached yet.
        orphans: rows of the source whose user or film is gone there.
        stream: whether the stream is to blame for what differed.
        source_shape: the table's file and its columns' types at the source.
        started_at: when the reconciliation began.
        seconds: how long it took.
    """

    run_id: str
    table: str
    fence: int
    rows: int
    counts: Counts
    truncated: int
    in_flight: int
    ahead: int
    orphans: int
    stream: Stream
    source_shape: str
    started_at: dt.datetime
    seconds: float

    def with_earlier(self, counts: Counts, stream: Stream) -> Report:
        """This report with what an attempt of the same run found before it was killed."""
        blamed = stream if self.stream is Stream.UNASKED else self.stream
        return dataclasses.replace(self, counts=self.counts.largest(counts), stream=blamed)

    def plain(self) -> dict[str, Any]:
        """The report as JSON takes it: one flat object."""
        flat = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        counts = dataclasses.asdict(flat.pop("counts"))
        return flat | counts | {"stream": self.stream.value, "started_at": self.started_at.isoformat()}


def tabulate(reports: Iterable[Report]) -> RichTable:
    """The reports as a table for people."""
    headings = ("table", "rows", "missing", "different", "ghosts", "in flight", "stream", "seconds")
    table = RichTable(*headings, box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:6]:
        column.justify = "right"
    for report in reports:
        counts = report.counts
        table.add_row(
            report.table,
            f"{report.rows:,}",
            *(f"{count:,}" for count in (counts.missing, counts.different, counts.ghosts, report.in_flight)),
            report.stream.value,
            f"{report.seconds:.1f}",
            style="yellow" if counts.total else None,
        )
    return table
