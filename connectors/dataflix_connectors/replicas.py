"""A warehouse that several replicas keep: what one of them was given, the others have a moment later."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings


def waits(cluster: str, *tables: str) -> list[str]:
    """Statements that have the replica which runs them wait for all rows that any replica took before.

    Merges are not waited for
    (https://clickhouse.com/docs/sql-reference/statements/system, SYNC REPLICA, LIGHTWEIGHT).

    Args:
        cluster: the setting DATAFLIX_CLICKHOUSE_CLUSTER.
        tables: ``database.table`` each; names that the contract decides.

    Returns:
        One statement for each table; none where one server is the warehouse.
    """
    return [f"SYSTEM SYNC REPLICA {table} LIGHTWEIGHT" for table in tables if cluster]


def catch_up(client: Client, settings: Settings, *tables: str) -> None:
    """Wait until the replica that ``client`` talks to has what others were given; one server has.

    For who is about to read what another program may have written to another replica.

    Raises:
        clickhouse_connect.driver.exceptions.ClickHouseError: it did not get it in time, or refuses.
    """
    for statement in waits(settings.clickhouse_cluster, *tables):
        client.command(statement)
