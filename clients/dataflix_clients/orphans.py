"""Rows whose user or film is gone: how many there are, and how they are removed.

Foreign keys prevent such rows unless they are off: by ``session_replication_role = replica`` (restores,
subscriptions) or ``ALTER TABLE ... DISABLE TRIGGER``. They are not removed by themselves: the warehouse has
such rows as well, the marts and the model leave them out, and the reconciliation counts them.
"""

from collections.abc import Iterator

from psycopg import sql

from dataflix_clients.postgres import Connection
from dataflix_clients.preflight import Finding, warning
from dataflix_contract import Table, tables
from dataflix_contract.schema import SOURCE_SCHEMA


def count_orphans(source: Connection, table: Table) -> int:
    """Count the table's rows of which any owner (a user, a film) is gone, in one scan of the table."""
    if not table.belongs_to:
        return 0
    owners = [sql.Identifier(f"owner_{number}") for number, _ in enumerate(table.belongs_to)]
    joins = [
        sql.SQL("LEFT JOIN {table} AS {owner} ON {same}").format(
            table=sql.Identifier(SOURCE_SCHEMA, name), owner=owner, same=_same(name, owner)
        )
        for name, owner in zip(table.belongs_to, owners, strict=True)
    ]
    missing = [
        sql.SQL("{owner}.{column} IS NULL").format(owner=owner, column=sql.Identifier(tables()[name].key[0]))
        for name, owner in zip(table.belongs_to, owners, strict=True)
    ]
    query = sql.SQL("SELECT count(*) FROM {table} AS orphan {joins} WHERE {missing}").format(
        table=sql.Identifier(SOURCE_SCHEMA, table.name),
        joins=sql.SQL(" ").join(joins),
        missing=sql.SQL(" OR ").join(missing),
    )
    row = source.execute(query).fetchone()
    return int(row[0]) if row else 0


def orphan_finding(table: Table, count: int) -> Finding:
    """The finding about ``count`` orphans in a table, with what to do."""
    conditions = sql.SQL(" OR ").join(list(_gone(table))).as_string(None)
    return warning(
        f"table {SOURCE_SCHEMA}.{table.name}",
        f"held rows whose {' or '.join(table.belongs_to)} are gone when it was last reconciled: {count:,},"
        " which are in the warehouse's raw tables and neither in the marts nor in the model",
        "they came to be while foreign keys were off; to remove them, as the tables' owner:"
        f" DELETE FROM {SOURCE_SCHEMA}.{table.name} AS orphan WHERE {conditions}".replace('"', ""),
    )


def _gone(table: Table) -> Iterator[sql.Composed]:
    """A condition for each table that the rows of ``orphan`` belong to: that the owner is gone."""
    for name in table.belongs_to:
        yield sql.SQL("NOT EXISTS (SELECT FROM {table} AS owner WHERE {same})").format(
            table=sql.Identifier(SOURCE_SCHEMA, name), same=_same(name, sql.Identifier("owner"))
        )


def _same(name: str, owner: sql.Identifier) -> sql.Composed:
    """The condition that ``owner``, a row of the table ``name``, is the one that ``orphan`` refers to."""
    return sql.SQL(" AND ").join(
        sql.SQL("{owner}.{column} = orphan.{column}").format(owner=owner, column=sql.Identifier(column))
        for column in tables()[name].key
    )
