"""Does the warehouse equal the source, row by row, with personal data masked?"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from clickhouse_connect.driver.client import Client
from psycopg import sql
from psycopg.rows import dict_row

from dataflix_clients import postgres
from dataflix_contract import Masking, Settings, Table, tables

#: The warehouse is equal in seconds; on a machine with much else to do, so long.
_PATIENCE = 300

Row = tuple[Any, ...]
Rows = dict[Row, Row]


def masking_of(settings: Settings) -> Masking:
    return Masking(settings.masking_key.get_secret_value(), settings.masking_key_id)


def masked_row(masking: Masking, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of PostgreSQL as the warehouse should hold it."""
    masked = {}
    for name, column in table.columns.items():
        if column.forwarded and name in row:
            mask = masking.function(column.pii)
            masked[name] = row[name] if mask is None or row[name] is None else mask(row[name])
    return masked


def source_rows(source: psycopg.Connection, table: Table, masking: Masking) -> Rows:
    """PostgreSQL's rows as they should look in the warehouse, by primary key."""
    columns = [column.name for column in table.forwarded_columns]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table.name)
    )
    with source.cursor(row_factory=dict_row) as cursor:
        masked = (masked_row(masking, table, row) for row in cursor.execute(query))
        return {tuple(row[key] for key in table.key): tuple(map(_comparable, row.values())) for row in masked}


def warehouse_rows(warehouse: Client, table: Table) -> Rows:
    """The warehouse's live rows by primary key."""
    columns = [column.name for column in table.forwarded_columns]
    result = warehouse.query(f"SELECT {', '.join(columns)} FROM raw.{table.name} FINAL WHERE NOT _deleted")
    places = [columns.index(part) for part in table.key]
    rows = (tuple(map(_comparable, row)) for row in result.result_rows)
    return {tuple(row[place] for place in places): row for row in rows}


def differences(source: psycopg.Connection, warehouse: Client, settings: Settings) -> list[str]:
    """What differs, a line each (empty: the warehouse equals the source)."""
    masking = masking_of(settings)
    return [
        f"{table.name}{line}"
        for table in tables().values()
        for line in _compare(source_rows(source, table, masking), warehouse_rows(warehouse, table))
    ]


def differences_in_the_end(settings: Settings, warehouse: Client, seconds: float = _PATIENCE) -> list[str]:
    """Wait until the warehouse has caught up; what still differs then, if anything."""
    deadline = time.monotonic() + seconds
    while True:
        with postgres.connect(settings, settings.postgres_owner) as source:
            found = differences(source, warehouse, settings)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _compare(wanted: Rows, found: Rows) -> Iterator[str]:
    for key in wanted.keys() - found.keys():
        yield f"{key} is missing in the warehouse"
    for key in found.keys() - wanted.keys():
        yield f"{key} is a ghost in the warehouse: {found[key]}"
    for key in wanted.keys() & found.keys():
        if wanted[key] != found[key]:
            yield f"{key} differs: source {wanted[key]}, warehouse {found[key]}"


def _comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    return tuple(value) if isinstance(value, list) else value
