"""A reconciliation's side of PostgreSQL: lock a table, read its rows in one snapshot, and mask them.

The rows are masked block by block, by the same code as the stream's, so that they are as the warehouse holds
them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import LiteralString

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import LockNotAvailable

from dataflix_clients.postgres import Connection
from dataflix_contract import Column, ColumnType, Masking, Settings, Table
from dataflix_contract.faults import Fault
from dataflix_contract.masking import Mask
from dataflix_contract.postgres_sessions import parameters
from dataflix_contract.schema import SOURCE_SCHEMA

#: Names the sessions in ``pg_stat_activity``.
PROGRAM = "dataflix-reconcile"

#: An arbitrary number: with the table's own it is the key of the lock that keeps two reconciliations apart.
_LOCK_CLASS = 0x0DA7AF11
_LOCK_WAIT_S = 120
_CONNECT_TIMEOUT_S = 5
#: About how many bytes of rows are in memory at a time.
_BLOCK_BYTES = 8 * 2**20

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.SMALLINT: pa.int16(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TEXT_ARRAY: pa.list_(pa.string()),
    ColumnType.NUMERIC_2_1: pa.decimal128(2, 1),
    ColumnType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
}

#: Which Arrow types, as PostgreSQL's columns arrive, certainly hold a type of the contract. A cast may round
#: a float, and takes a timestamp without a time zone to be in UTC: the stream refuses both.
_FITTING: dict[ColumnType, Callable[[pa.DataType], bool]] = {
    ColumnType.SMALLINT: pa.types.is_integer,
    ColumnType.BIGINT: pa.types.is_integer,
    ColumnType.TEXT: pa.types.is_string,
    ColumnType.TEXT_ARRAY: lambda kind: pa.types.is_list(kind) and pa.types.is_string(kind.value_type),
    ColumnType.NUMERIC_2_1: lambda kind: pa.types.is_string(kind) or pa.types.is_decimal(kind),
    ColumnType.TIMESTAMPTZ: lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as of one moment, read once.

    Attributes:
        position: whatever the snapshot sees was committed below this WAL position.
        taken_at: the moment, by the source's clock.
        estimate: about how many rows there are; 0 when nobody has counted yet.
        shape: the table's file and its columns' types; it changes when the table is rewritten or altered.
        reshaped: whether the table was rewritten or altered since it was created.
        blocks: the forwarded columns, unmasked, in the contract's order.
    """

    position: int
    taken_at: dt.datetime
    estimate: int
    shape: str
    reshaped: bool
    blocks: Iterator[pa.RecordBatch]


def lock(source: Connection, table: Table) -> None:
    """Take the table's lock; it ends with the session, however that ends.

    Raises:
        Fault: another reconciliation of the table holds it for too long.
    """
    key = {"class": _LOCK_CLASS, "table": zlib.crc32(table.name.encode()) >> 1}
    source.execute("SELECT set_config('lock_timeout', %s, false)", [f"{_LOCK_WAIT_S}s"])
    try:
        source.execute("SELECT pg_advisory_lock(%(class)s::int, %(table)s::int)", key)
    except LockNotAvailable as error:
        holder = source.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = %(class)s AND objid = %(table)s",
            key,
        ).fetchone()
        who = f"pid {holder[0]}" if holder else "a session that has just ended"
        raise Fault(
            f"another reconciliation of {table.name} is running (PostgreSQL's {who}) and did not end"
            f" within {_LOCK_WAIT_S} s: let it end, and run this again"
        ) from error


def insert_position(source: Connection) -> int:
    """The lowest WAL position that the next change can get."""
    row = source.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    if row is None:
        raise Fault("PostgreSQL gave no WAL position")
    return int(row[0])


@contextlib.contextmanager
def take_snapshot(settings: Settings, table: Table) -> Iterator[Snapshot]:
    """Open a snapshot in a session of its own; it ends with the context.

    Raises:
        adbc_driver_manager.Error: PostgreSQL is away, or refuses.
    """
    conninfo = make_conninfo(
        **parameters(
            settings.postgres_server,
            settings.debezium_user,
            settings.debezium_password,
            program=PROGRAM,
            connect_seconds=_CONNECT_TIMEOUT_S,
            database=settings.postgres_db,
        )
    )
    with (
        contextlib.closing(dbapi.connect(conninfo, autocommit=False)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # The first query takes the snapshot; what it sees is in the WAL already.
        cursor.execute(_facts_query(table))
        nothing = (0, None, 0, "", False, False)
        position, taken_at, estimate, shape, reshaped, partitioned = cursor.fetchone() or nothing
        if taken_at is None:
            raise Fault(f"PostgreSQL has no table {SOURCE_SCHEMA}.{table.name}: run dataflix-migrate")
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BLOCK_BYTES)})
        cursor.execute(_rows(table, partitioned=partitioned))
        blocks = _readable(iter(cursor.fetch_record_batch()), table)
        yield Snapshot(position, taken_at, max(0, estimate), shape, reshaped, blocks)


def _readable(blocks: Iterator[pa.RecordBatch], table: Table) -> Iterator[pa.RecordBatch]:
    try:
        yield from blocks
    except (pa.ArrowException, OSError):
        # The error is not chained: it may quote a value.
        raise Fault(
            f"rows of {SOURCE_SCHEMA}.{table.name} cannot be read as the contract's types:"
            " dataflix-connector preflight tells how they differ"
        ) from None


def _rows(table: Table, *, partitioned: bool) -> str:
    """The query for the rows that are captured: without those of tables that inherit from this one."""
    query = sql.SQL("SELECT {} FROM {} {}").format(
        sql.SQL(", ").join(map(_selected, table.forwarded_columns)),
        sql.SQL("" if partitioned else "ONLY"),
        sql.Identifier(SOURCE_SCHEMA, table.name),
    )
    return query.as_string(None)


def _selected(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.type is ColumnType.TEXT_ARRAY:
        # A slice counts from 1; an array may begin at any number, which the driver does not read.
        return sql.SQL("{}[:] AS {}").format(name, name)
    return name


def _facts_query(table: Table) -> str:
    columns = sql.SQL(", ").join(sql.Literal(column.name) for column in table.forwarded_columns)
    name = sql.Literal(f"{SOURCE_SCHEMA}.{table.name}")
    return sql.SQL(_TABLE_FACTS).format(table=name, columns=columns).as_string(None)


_TABLE_FACTS: LiteralString = """
    SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, clock_timestamp(), reltuples::bigint,
           relfilenode::text || ' ' || columns.shape,
           relfilenode <> pg_class.oid OR columns.filled_in, relkind = 'p'
    FROM pg_class, LATERAL (
        SELECT coalesce(string_agg(
                   attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attgenerated::text,
                   ', ' ORDER BY attnum
               ), '') AS shape,
               coalesce(bool_or(atthasmissing), false) AS filled_in
        FROM pg_attribute WHERE attrelid = pg_class.oid AND attname IN ({columns})
    ) AS columns
    WHERE pg_class.oid = to_regclass({table})
"""


class Masker:
    """Turns blocks of a table's rows into what the warehouse holds of them.

    Args:
        table: the table's contract.
        masking: the pseudonyms.
    """

    def __init__(self, table: Table, masking: Masking) -> None:
        self._table = table.name
        self._plan = [
            (column, masking.function(column.pii, remember=False)) for column in table.forwarded_columns
        ]
        #: The blocks' columns: the contract's forwarded ones, in its order.
        self.schema = pa.schema(
            [pa.field(column.name, _ARROW_TYPES[column.type]) for column in table.forwarded_columns]
        )

    def mask(self, block: pa.RecordBatch) -> pa.RecordBatch:
        """The block with names and addresses masked, each value in its column's type.

        Args:
            block: the forwarded columns, unmasked, in the contract's order.

        Raises:
            Fault: a column of the source is not what the contract says; no value is quoted.
        """
        columns = [
            self._column(column, mask, block.column(place)) for place, (column, mask) in enumerate(self._plan)
        ]
        return pa.record_batch(columns, schema=self.schema)

    def _column(self, column: Column, mask: Mask | None, values: pa.Array) -> pa.Array:
        wanted = _ARROW_TYPES[column.type]
        if isinstance(values, pa.ExtensionArray):  # a numeric comes as its text
            values = values.storage
        if not _FITTING[column.type](values.type):
            raise self._type_fault(column)
        try:
            if mask is not None:
                return pa.array(_masked(mask, values.to_pylist()), wanted)
            exact = values.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, AttributeError):
            # The error is not chained: it may quote a value.
            raise self._type_fault(column) from None
        if column.type is ColumnType.TEXT_ARRAY and exact.null_count:
            # The warehouse has no NULL for an array: the stream delivers an empty one.
            return pc.coalesce(exact, pa.scalar([], wanted))
        return exact

    def _type_fault(self, column: Column) -> Fault:
        return Fault(
            f"{self._table}.{column.name} in PostgreSQL does not fit the contract's"
            f" {column.type.value}: dataflix-connector preflight tells how they differ"
        )


def _masked(mask: Mask, values: list[str | None]) -> list[str | None]:
    return [None if value is None else mask(value) for value in values]
