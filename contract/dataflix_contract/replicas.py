"""A warehouse that several replicas keep: what one of them was given, the others have a moment later."""

from __future__ import annotations


def catch_up(cluster: str, *tables: str) -> list[str]:
    """Statements for who is about to read what another program may have written to another replica.

    The replica that runs them waits until it has all rows that any replica took before. Merges are not
    waited for (https://clickhouse.com/docs/sql-reference/statements/system, SYNC REPLICA, LIGHTWEIGHT).

    Args:
        cluster: the setting DATAFLIX_CLICKHOUSE_CLUSTER.
        tables: ``database.table`` each; names that the contract decides.

    Returns:
        One statement for each table; none where one server is the warehouse.
    """
    return [f"SYSTEM SYNC REPLICA {table} LIGHTWEIGHT" for table in tables if cluster]
