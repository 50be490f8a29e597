"""A reconciliation's side of ClickHouse: load the snapshot, compare it, apply the repair, keep the report.

The statements are the SQL files of ``sql/``, rendered from the contract.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import jinja2
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from dataflix_clients import clickhouse
from dataflix_contract import Settings, Table
from dataflix_contract.faults import Fault
from dataflix_reconciliation.report import Counts, Report, Stream

_STATEMENT_TIMEOUT_S = 1800
_RECORDED = (
    *("run_id", "table_name", "fence", "rows", "missing", "different", "ghosts", "truncated", "in_flight"),
    *("ahead", "orphans", "stream", "source_shape", "done", "started_at", "seconds"),
)
_TOKEN = "[0-9a-f]{8}"  # noqa: S105 - a pattern


@dataclass(frozen=True, slots=True)
class Names:
    """The tables of one attempt, in the database staging.

    Attributes:
        snapshot: the source's rows.
        findings: keys that differ.
        newest: keys with a version above the fence.
        repair: what is moved into the raw table.
    """

    snapshot: str
    findings: str
    newest: str
    repair: str

    @classmethod
    def of(cls, table: Table, token: str) -> Self:
        """The names that an attempt uses; ``token``, 8 hexadecimal digits, is the attempt's own.

        No two attempts share a table: an attempt that lost its lock without noticing finds its tables
        gone, but never another attempt's half-loaded snapshot in their place.
        """
        return cls(*(f"{table.name}_{token}_{part}" for part in cls.__slots__))

    @property
    def all(self) -> tuple[str, ...]:
        """Every name."""
        return (self.snapshot, self.findings, self.newest, self.repair)


def is_of(table: Table, name: str) -> bool:
    """Whether a table in staging was left by some attempt on ``table``."""
    return re.fullmatch(f"{table.name}_{_TOKEN}_({'|'.join(Names.__slots__)})", name) is not None


def render(template: str, table: Table, names: Names) -> str:
    """One SQL file's text, by the file's name without its ending."""
    return _templates().get_template(f"{template}.sql.j2").render(table=table, names=names).strip()


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("dataflix_reconciliation", "sql"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - SQL, of names that the contract decides
    )


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[Client]:
    """A client of the daily batch's user.

    Raises:
        clickhouse_connect.driver.exceptions.ClickHouseError: the server is away, or refuses the password.
    """
    client = clickhouse.connect(settings, settings.clickhouse_batch, answer_seconds=_STATEMENT_TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()


class Staging:
    """What one attempt on one table does in ClickHouse; nobody else uses its tables.

    Args:
        client: the daily batch's.
        table: the table.
        token: the attempt's own, 8 hexadecimal digits.
    """

    def __init__(self, client: Client, table: Table, token: str) -> None:
        self._client = client
        self._table = table
        self._names = Names.of(table, token)

    def sweep(self) -> int:
        """Drop what killed attempts on this table have left; only the lock's holder may.

        Returns:
            How many tables that were.
        """
        found = self._client.query("SELECT name FROM system.tables WHERE database = 'staging'")
        stale = [name for (name,) in found.result_rows if is_of(self._table, str(name))]
        for name in stale:
            self._drop(str(name))
        return len(stale)

    def load(self, schema: pa.Schema, blocks: Iterable[pa.RecordBatch]) -> int:
        """Load the snapshot's rows in one insert, a block in memory at a time.

        Returns:
            The number of rows.

        Raises:
            Fault: the table does not hold what was sent.
        """
        self._run("snapshot")
        sent = 0

        def counted() -> Iterator[pa.RecordBatch]:
            nonlocal sent
            for block in blocks:
                sent += block.num_rows
                yield block

        self._client.raw_insert(
            f"staging.{self._names.snapshot}",
            schema.names,
            _arrow_stream(schema, counted()),
            fmt="ArrowStream",
        )
        loaded = self._number(f"SELECT count() FROM staging.{self._names.snapshot}")
        if loaded != sent:
            raise Fault(
                f"{self._table.name}: ClickHouse was sent {sent} rows and holds {loaded}: run this again"
            )
        return sent

    def compare(self, fence: int) -> None:
        """Find the keys whose rows differ, then their versions above the fence."""
        for name in (self._names.findings, self._names.newest):
            self._drop(name)
        self._run("findings")
        self._run("newest")
        self._run("compare")
        if self._number(f"SELECT count() FROM staging.{self._names.findings}"):
            self._run("look_for_newest", fence=fence)

    def count(self, fence: int, wal: int) -> Counts:
        """What differs and has not been changed since the fence.

        Args:
            fence: the version of repaired rows.
            wal: a WAL position that was read after the comparison.
        """
        query = render("count", self._table, self._names)
        (row,) = self._client.query(query, parameters={"fence": fence, "wal": wal}).result_rows
        return Counts(*map(int, row))

    def ahead(self, wal: int) -> int:
        """How many keys have a version above a WAL position; a repaired key has two such rows."""
        return self._number(
            f"SELECT uniqExact({', '.join(self._table.key)}) FROM raw.{self._table.name}"
            " WHERE _version > {wal:UInt64}",
            wal=wal,
        )

    def highest_version(self) -> int:
        """The highest version that the table holds."""
        return self._number(f"SELECT max(_version) FROM raw.{self._table.name}")

    def insert_truncate_tombstones(self) -> int:
        """Write tombstones for the rows that are older than a TRUNCATE of the source.

        Returns:
            How many rows that were.
        """
        found = self._number(f"SELECT count() FROM raw.{self._table.name}_truncated")
        if found:
            self._run("truncate_tombstones")
        return found

    def prepare_repair(self, fence: int, wal: int, taken_at: dt.datetime) -> None:
        """Prepare rows and tombstones for what :meth:`count` counted; ``taken_at`` is the snapshot's time."""
        self._run("repair")
        self._run("prepare_repair", fence=fence, wal=wal, taken_at=taken_at)

    def apply(self) -> None:
        """Move the repair into the table in one statement, so that a reader sees all of it or nothing."""
        self._run("apply")

    def drop(self) -> None:
        """Remove this attempt's tables."""
        for name in self._names.all:
            self._drop(name)

    def _run(self, template: str, **parameters: Any) -> None:
        self._client.command(render(template, self._table, self._names), parameters=parameters)

    def _number(self, query: str, **parameters: Any) -> int:
        return int(str(self._client.command(query, parameters=parameters)))

    def _drop(self, name: str) -> None:
        self._client.command(f"DROP TABLE IF EXISTS staging.{name} SYNC")


def record(client: Client, report: Report, *, done: bool) -> None:
    """Keep a report; the one that is recorded last counts."""
    flat = report.plain() | {
        "table_name": report.table,
        "done": done,
        "stream": report.stream.value,
        "started_at": report.started_at,
    }
    client.insert(
        "reconciliations", [[flat[name] for name in _RECORDED]], column_names=_RECORDED, database="ops"
    )


def unfinished(client: Client, run_id: str, table: Table) -> tuple[Counts, Stream] | None:
    """What an attempt of this run found before it was killed, if one was."""
    rows = client.query(
        "SELECT missing, different, ghosts, stream FROM ops.reconciliations FINAL"
        " WHERE run_id = {run:String} AND table_name = {table:String} AND NOT done",
        parameters={"run": run_id, "table": table.name},
    ).result_rows
    return (Counts(*map(int, rows[0][:3])), Stream(rows[0][3])) if rows else None


def last_source_shape(client: Client, table: Table) -> str:
    """The source's shape as the table's last finished reconciliation saw it; empty if none tells."""
    return str(
        client.command(
            "SELECT argMax(source_shape, recorded_at) FROM ops.reconciliations"
            " WHERE table_name = {table:String} AND done AND source_shape != ''",
            parameters={"table": table.name},
        )
    )


def _arrow_stream(schema: pa.Schema, blocks: Iterable[pa.RecordBatch]) -> Generator[bytes, None, None]:
    """Arrow's streaming format, a piece for each block."""
    sink = _ChunkBuffer()
    with pa.ipc.new_stream(sink, schema) as writer:
        yield sink.take()
        for block in blocks:
            writer.write_batch(block)
            yield sink.take()
    yield sink.take()


class _ChunkBuffer:
    """A file that hands out what was written to it since the last time."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is to be closed."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
