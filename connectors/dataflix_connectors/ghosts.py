"""Ghosts: rows that were deleted at the source while nobody watched, and live on in the warehouse.

After a snapshot whose rows have the version F, every row that exists has a version of F or
more; what is live and older is a ghost, or a row that never arrived. PostgreSQL is asked
which, so that a row that exists is never removed, however late its message is. A row that
comes back later is above F and wins over its tombstone.
"""

import datetime as dt
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from psycopg import sql

from dataflix_clients import clickhouse
from dataflix_clients.postgres import Connection
from dataflix_contract import Settings, Table, tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import SOURCE_SCHEMA
from dataflix_contract.terminal import first_line

_BATCH = 10_000

Key = tuple[object, ...]


def sweep_ghosts(settings: Settings, source: Connection, fence: int) -> dict[str, int]:
    """Tombstone, with the fence as version, what is live and older and gone from the source.

    Returns:
        The number of ghosts per table.

    Raises:
        Fault: ClickHouse is away or refuses.
    """
    try:
        warehouse = clickhouse.connect(settings, settings.clickhouse_owner)
        clickhouse.catch_up(warehouse, settings, *(f"raw.{name}" for name in tables()))
        return {
            name: _bury(warehouse, table, _ghosts(warehouse, source, table, fence), fence)
            for name, table in tables().items()
        }
    except ClickHouseError as error:
        raise Fault(f"ClickHouse did not let the ghosts be swept: {first_line(error)}") from error


def _ghosts(warehouse: Client, source: Connection, table: Table, fence: int) -> list[Key]:
    old = warehouse.query(
        f"SELECT {', '.join(table.key)} FROM raw.{table.name} FINAL"
        " WHERE _deleted = 0 AND _version < {fence:UInt64}",
        parameters={"fence": fence},
    ).result_rows
    suspects = [tuple(row) for row in old]
    return [
        key
        for start in range(0, len(suspects), _BATCH)
        for key in _gone(source, table, suspects[start : start + _BATCH])
    ]


def _gone(source: Connection, table: Table, keys: Sequence[Key]) -> set[Key]:
    """Those of the keys that PostgreSQL does not have."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.key))
    arrays = sql.SQL(", ").join(
        sql.SQL("%s::{}[]").format(sql.SQL(table.columns[name].type.value)) for name in table.key
    )
    query = sql.SQL("SELECT {} FROM {} WHERE ({}) IN (SELECT * FROM unnest({}))").format(
        columns, sql.Identifier(SOURCE_SCHEMA, table.name), columns, arrays
    )
    rows = source.execute(query, [list(column) for column in zip(*keys, strict=True)]).fetchall()
    return set(keys) - set(rows)


def _bury(warehouse: Client, table: Table, ghosts: Sequence[Key], fence: int) -> int:
    """One insert, so that a reader sees either none or all of the tombstones."""
    if ghosts:
        now = dt.datetime.now(dt.UTC)
        warehouse.insert(
            table.name,
            [[*key, fence, 1, "d", now, now] for key in ghosts],
            column_names=[*table.key, "_version", "_deleted", "_op", "_source_ts", "_ingested_at"],
            database="raw",
        )
    return len(ghosts)
