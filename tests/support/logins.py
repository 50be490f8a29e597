"""Clients of the warehouse for any of its users."""

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings


def login(settings: Settings, user: str, password: str) -> Client:
    """A client that is to be closed; it raises a ``ClickHouseError`` where the login is refused."""
    return clickhouse_connect.get_client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_http_port,
        username=user,
        password=password,
        autogenerate_session_id=False,
    )
