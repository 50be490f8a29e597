"""Columns that the contract does not know: told once each, by name only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

#: PostgreSQL cuts identifiers there; a longer "name" did not come from DDL and is not repeated.
MAX_NAME_BYTES = 63
#: A broken source must not fill the metrics with names.
MAX_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class DriftNotice:
    """A column that is not forwarded until the contract gives it a class."""

    table: str
    column: str
    first_seen: float
    source_us: int

    def to_json(self) -> bytes:
        """The message for the drift topic."""
        return orjson.dumps(
            {
                "table": self.table,
                "column": self.column,
                "first_seen_ms": int(self.first_seen * 1000),
                "source_ts_us": self.source_us,
            }
        )


class DriftLog:
    """Remembers which columns this process has told of."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def new(self, table: str, columns: Iterable[str], source_us: int) -> list[DriftNotice]:
        """Notices for the columns that are seen for the first time."""
        return [
            DriftNotice(table, column, time.time(), source_us)
            for column in sorted(columns)
            if self._is_new(table, column)
        ]

    def knows(self, table: str, column: str) -> bool:
        """Whether the column was told of, so that its name may label a metric."""
        return (table, column) in self._seen

    def _is_new(self, table: str, column: str) -> bool:
        if (table, column) in self._seen or len(self._seen) >= MAX_COLUMNS:
            return False
        if len(column.encode()) > MAX_NAME_BYTES:
            return False
        self._seen.add((table, column))
        return True
