"""The ClickHouse server that dbt works on: its address for dbt, and whether it answers."""

from __future__ import annotations

import http.client
import json
from http import HTTPStatus

from dataflix_contract import Settings, tables
from dataflix_contract.masking import PSEUDONYM_PATTERNS

_SECONDS = 3


class UnreachableError(Exception):
    """ClickHouse does not answer dbt's user; the message says where and why."""


def dbt_environment(settings: Settings) -> dict[str, str]:
    """What the project reads from its environment: how to log in, and which columns hold pseudonyms."""
    return {
        "DATAFLIX_DBT_CLICKHOUSE_HOST": settings.clickhouse_host,
        "DATAFLIX_DBT_CLICKHOUSE_PORT": str(settings.clickhouse_http_port),
        "DATAFLIX_DBT_CLICKHOUSE_CLUSTER": settings.clickhouse_cluster,
        "DATAFLIX_DBT_CLICKHOUSE_USER": settings.clickhouse_dbt_user,
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": settings.clickhouse_dbt_password.get_secret_value(),
        "DATAFLIX_DBT_PSEUDONYMS": json.dumps(pseudonyms()),
    }


def pseudonyms() -> dict[str, dict[str, str]]:
    """The form of every column that the contract masks: a regular expression by table and column."""
    return {
        table.name: {
            column.name: PSEUDONYM_PATTERNS[column.pii]
            for column in table.forwarded_columns
            if column.pii in PSEUDONYM_PATTERNS
        }
        for table in tables().values()
    }


def check(settings: Settings) -> None:
    """Log in as dbt's user and get an answer.

    Raises:
        UnreachableError: the server is away, or refuses the login.
    """
    address = f"{settings.clickhouse_host}:{settings.clickhouse_http_port}"
    login = {
        "X-ClickHouse-User": settings.clickhouse_dbt_user,
        "X-ClickHouse-Key": settings.clickhouse_dbt_password.get_secret_value(),
    }
    connection = http.client.HTTPConnection(
        settings.clickhouse_host, settings.clickhouse_http_port, timeout=_SECONDS
    )
    try:
        connection.request("POST", "/", "SELECT 1", login)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as fault:
        raise UnreachableError(f"ClickHouse at {address} does not answer: {fault}") from fault
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        raise UnreachableError(
            f"ClickHouse at {address} answers {status} to the user {settings.clickhouse_dbt_user}"
        )
