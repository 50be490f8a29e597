"""How the live tables differ from the data contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from dataflix_contract import Column, Table
from dataflix_contract.postgres import REAL_TYPE
from dataflix_contract.schema import SOURCE_SCHEMA

_LIVE_COLUMNS = f"""
SELECT c.relname, a.attname, real.type, NOT real.never_null,
       array_position(i.indkey::smallint[], a.attnum)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
{REAL_TYPE}
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as the database has it.

    Attributes:
        type: as PostgreSQL's ``format_type`` prints it; of a domain, the type that it is made of.
        nullable: whether it may be NULL.
        key_position: its place in the primary key, from 0; None when it is no part of it.
    """

    type: str
    nullable: bool
    key_position: int | None = None


LiveTables = Mapping[str, Mapping[str, LiveColumn]]


def live_tables(connection: psycopg.Connection, names: Iterable[str]) -> LiveTables:
    """Read the columns of the named tables from the catalogue; absent tables are left out."""
    found: dict[str, dict[str, LiveColumn]] = {}
    for table, column, kind, nullable, position in connection.execute(
        _LIVE_COLUMNS, [SOURCE_SCHEMA, list(names)]
    ):
        found.setdefault(table, {})[column] = LiveColumn(kind, nullable, position)
    return found


def differences(contract: Mapping[str, Table], live: LiveTables) -> list[str]:
    """Every difference in words; empty when the database is what the contract says."""
    found: list[str] = []
    for name, table in contract.items():
        if name in live:
            found += _table_differences(table, live[name])
        else:
            found.append(f"table {name} is missing")
    return found


def _table_differences(table: Table, live: Mapping[str, LiveColumn]) -> list[str]:
    found = [
        f"{table.name}.{name} is not in the contract: it is not forwarded"
        for name in live
        if name not in table.columns
    ]
    for name, column in table.columns.items():
        if name in live:
            found += _column_differences(f"{table.name}.{name}", column, live[name])
        else:
            found.append(f"{table.name}.{name} is missing")
    places = [(c.key_position, name) for name, c in live.items() if c.key_position is not None]
    key = tuple(name for _, name in sorted(places))
    if key != table.key:
        found.append(f"{table.name}: the primary key is {key}, the contract says {table.key}")
    return found


def _column_differences(name: str, column: Column, live: LiveColumn) -> list[str]:
    found = []
    if not column.type.is_spelt(live.type):
        found.append(f"{name} is {live.type}, the contract says {column.type.spellings[0]}")
    if live.nullable != column.nullable:
        found.append(f"{name} may{'' if live.nullable else ' not'} be NULL, the contract says otherwise")
    return found
