"""Rows whose user or film is gone: how many there are, and how they are removed.

Foreign keys keep them out, unless they are off: ``session_replication_role = replica`` (restores,
subscriptions), ``ALTER TABLE ... DISABLE TRIGGER``. The source is what it is: the warehouse has such rows as
well, marts and model leave them out, and the reconciliation counts them.
"""

from collections.abc import Iterator

from psycopg import sql

from dataflix_connectors.preflight import Finding, Level
from dataflix_connectors.source import Connection
from dataflix_contract import Table, tables
from dataflix_contract.schema import SOURCE_SCHEMA


def count_orphans(source: Connection, table: Table) -> int:
    """Count the table's rows whose owner is gone, of whichever table it was."""
    if not table.belongs_to:
        return 0
    name, key = sql.Identifier(SOURCE_SCHEMA, table.name), sql.SQL(", ").join(map(sql.Identifier, table.key))
    # A query for each owner, and not one with OR: each is an anti-join.
    orphans = [
        sql.SQL("SELECT {key} FROM {table} AS orphan WHERE {gone}").format(key=key, table=name, gone=gone)
        for gone in _gone(table)
    ]
    query = sql.SQL("SELECT count(*) AS found FROM ({}) AS orphans").format(sql.SQL(" UNION ").join(orphans))
    row = source.execute(query).fetchone()
    return int(row["found"]) if row else 0


def orphan_finding(table: Table, count: int) -> Finding:
    """What to say about so many of them."""
    conditions = sql.SQL(" OR ").join(list(_gone(table))).as_string(None)
    return Finding(
        Level.WARNING,
        f"table {SOURCE_SCHEMA}.{table.name}",
        f"held rows whose {' or '.join(table.belongs_to)} are gone when it was last reconciled: {count:,},"
        " which are in the warehouse's raw tables and neither in the marts nor in the model",
        "they came to be while foreign keys were off; to remove them, as the tables' owner:"
        f" DELETE FROM {SOURCE_SCHEMA}.{table.name} AS orphan WHERE {conditions}".replace('"', ""),
    )


def _gone(table: Table) -> Iterator[sql.Composed]:
    """A condition for each table that the rows of ``orphan`` belong to: that the owner is gone."""
    for name in table.belongs_to:
        same = sql.SQL(" AND ").join(
            sql.SQL("owner.{column} = orphan.{column}").format(column=sql.Identifier(column))
            for column in tables()[name].key
        )
        yield sql.SQL("NOT EXISTS (SELECT FROM {owner} AS owner WHERE {same})").format(
            owner=sql.Identifier(SOURCE_SCHEMA, name), same=same
        )
