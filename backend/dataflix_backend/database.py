"""Connections to PostgreSQL, as a role that reads and writes rows and no more."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from dataflix_backend.context import Pool
from dataflix_contract import Settings

#: Each process's connections: as many as its threads.
MOST_CONNECTIONS = 8
_CONNECT_SECONDS = 2
_WAIT_SECONDS = 2.0
_STATEMENT_MILLISECONDS = 5_000


def make_pool(settings: Settings) -> Pool:
    """A closed pool: opening it, in the process that uses it, needs no running PostgreSQL.

    Connections commit each statement unless a transaction is opened.
    """
    return ConnectionPool(
        kwargs={
            "host": settings.postgres_host,
            "port": settings.postgres_port,
            "dbname": settings.postgres_db,
            "user": settings.postgres_api_user,
            "password": settings.postgres_api_password.get_secret_value(),
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "dataflix-backend",
            "autocommit": True,
            "options": f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
        },
        min_size=1,
        max_size=MOST_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        check=ConnectionPool.check_connection,
        open=False,
    )
