"""ClickHouse: log in as one of the settings' users, and wait for rows that other replicas have taken.

Several replicas may keep one warehouse: the rows that one of them takes reach the others a moment later.
"""

from __future__ import annotations

import logging

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from dataflix_contract.settings import Login

_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 300

#: What ClickHouse's library logs is in the exceptions that it raises, too.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def connect(settings: Settings, login: Login, *, answer_seconds: int = _ANSWER_SECONDS) -> Client:
    """Log in; requests of several threads may overlap, because no session is kept.

    Args:
        settings: where ClickHouse is.
        login: the user, such as the settings' ``clickhouse_reader``.
        answer_seconds: how long a statement may take until the next part of its answer is there.

    Raises:
        clickhouse_connect.driver.exceptions.ClickHouseError: ClickHouse is away or refuses the login.
    """
    return clickhouse_connect.get_client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_http_port,
        username=login.user,
        password=login.password.get_secret_value(),
        connect_timeout=_CONNECT_SECONDS,
        send_receive_timeout=answer_seconds,
        autogenerate_session_id=False,
    )


def sync_replica_statements(cluster: str, *tables: str) -> list[str]:
    """Statements that make the replica that runs them wait for all rows that any replica took before.

    They do not wait for merges
    (https://clickhouse.com/docs/sql-reference/statements/system, SYNC REPLICA, LIGHTWEIGHT).

    Args:
        cluster: the setting DATAFLIX_CLICKHOUSE_CLUSTER.
        tables: ``database.table`` each; names that the contract decides.

    Returns:
        One statement for each table; none where one server is the warehouse.
    """
    return [f"SYSTEM SYNC REPLICA {table} LIGHTWEIGHT" for table in tables if cluster]


def wait_for_replicas(client: Client, settings: Settings, *tables: str) -> None:
    """Wait until the replica that ``client`` talks to has the rows that the other replicas have taken.

    Call this before reading rows that another program may just have written. A single server does not wait.

    Raises:
        clickhouse_connect.driver.exceptions.ClickHouseError: it did not get it in time, or refuses.
    """
    for statement in sync_replica_statements(settings.clickhouse_cluster, *tables):
        client.command(statement)
