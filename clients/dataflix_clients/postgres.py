"""PostgreSQL: log in with one of the settings' roles, and put its errors into words."""

from __future__ import annotations

import psycopg

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.postgres_sessions import parameters
from dataflix_contract.settings import Login

_CONNECT_SECONDS = 5

_ADVICE: dict[tuple[type[psycopg.Error], ...], str] = {
    (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction): (
        ". The tables are not those of Dataflix: bin/dataflix-migrate makes what is missing, and"
        " bin/dataflix-connector preflight names what else differs"
    ),
    (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory): (
        ". Make room on PostgreSQL's machine, then run the same again"
    ),
}

#: A session in autocommit mode.
Connection = psycopg.Connection


class ConnectionFault(Fault, psycopg.OperationalError):
    """PostgreSQL is away or refuses the login: a message for people, and an error that callers can catch."""


def connect(settings: Settings, login: Login, *, program: str = "dataflix", database: str = "") -> Connection:
    """Log in; each statement is committed unless a transaction is opened.

    Args:
        settings: where PostgreSQL is.
        login: the role, such as the settings' ``postgres_debezium``.
        program: names the session in ``pg_stat_activity``.
        database: the database to log in to; the source's by default.

    Raises:
        ConnectionFault: PostgreSQL is away or refuses the role.
    """
    try:
        return psycopg.connect(
            **parameters(
                settings.postgres_server,
                login.user,
                login.password,
                program=program,
                connect_seconds=_CONNECT_SECONDS,
                database=database or settings.postgres_db,
            ),
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise ConnectionFault(
            f"cannot log in to PostgreSQL at {settings.postgres_host}:{settings.postgres_port}"
            f" as {login.user}: {reason}\n"
            "is PostgreSQL running (./run.sh starts it, bin/dataflix-status shows what runs),"
            " did dataflix-migrate make database and roles, are host, port and password in .env right?"
        ) from error


def describe(error: psycopg.Error) -> str:
    """An error of PostgreSQL in words, and what to do; never its details, which quote values of rows."""
    if not error.diag.message_primary:  # it does not come from the server, and quotes no row
        return f"PostgreSQL: {' '.join(str(error).split()) or type(error).__name__}"
    advice = next((text for kinds, text in _ADVICE.items() if isinstance(error, kinds)), "")
    return f"PostgreSQL says: {error.diag.message_primary} (SQLSTATE {error.sqlstate}){advice}"
