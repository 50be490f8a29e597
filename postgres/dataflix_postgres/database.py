"""Connections to the source database, and its generated ids."""

from __future__ import annotations

import psycopg
from pydantic import SecretStr

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.postgres import parameters
from dataflix_contract.schema import ADVANCE_IDENTITIES

_CONNECT_SECONDS = 10
_ADVICE: dict[tuple[type[psycopg.Error], ...], str] = {
    (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction): (
        ". The tables are not those of Dataflix: bin/dataflix-migrate makes what is missing, and"
        " bin/dataflix-connector preflight names what is otherwise"
    ),
    (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory): (
        ". Make room on PostgreSQL's machine, then run the same again"
    ),
}


def connect_owner(settings: Settings) -> psycopg.Connection:
    """Connect to the database as the owner of its tables.

    Raises:
        Fault: the server does not answer or does not let us in.
    """
    return _connect(settings, settings.postgres_db, settings.postgres_user, settings.postgres_password)


def connect_admin(settings: Settings) -> psycopg.Connection:
    """Connect to the server's ``postgres`` database as the superuser, in autocommit mode.

    Raises:
        Fault: the server does not answer or does not let us in.
    """
    connection = _connect(
        settings, "postgres", settings.postgres_admin_user, settings.postgres_admin_password
    )
    connection.autocommit = True
    return connection


def _connect(settings: Settings, database: str, user: str, password: SecretStr) -> psycopg.Connection:
    try:
        return psycopg.connect(
            **parameters(
                settings.postgres_server,
                user,
                password,
                program="dataflix-postgres",
                connect_seconds=_CONNECT_SECONDS,
                database=database,
            )
        )
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise Fault(
            f"cannot connect to PostgreSQL at {settings.postgres_host}:{settings.postgres_port}"
            f" as {user}: {reason}\nIs it running (./run.sh), and are the settings POSTGRES_ and"
            " DATAFLIX_POSTGRES_ right? The database and its owner are made by dataflix-migrate."
        ) from error


def take_lock(connection: psycopg.Connection, number: int, seconds: int, program: str) -> None:
    """Take the advisory lock ``number`` for the session, so that ``program`` runs once at a time.

    The connection is in autocommit mode; the lock ends with it at the latest.

    Raises:
        Fault: another session still holds it after so many seconds.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{seconds}s"])
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [number])
    except psycopg.errors.LockNotAvailable:
        raise Fault(f"another {program} is at work: wait until it has ended, and run it again") from None
    connection.execute("RESET lock_timeout")


def advance_identities(connection: psycopg.Connection) -> None:
    """Let the next generated ids be above those in the tables, after rows with ids of their own were loaded.

    It never lowers them.
    """
    connection.execute(f"SELECT {ADVANCE_IDENTITIES}()".encode())


def describe(error: Exception, _settings: Settings) -> str | None:
    """An error of PostgreSQL in words, as a program ends with it; never its DETAIL, which quotes rows.

    None: it is an error in the program.
    """
    if not isinstance(error, psycopg.Error):
        return None
    if not error.diag.message_primary:
        return str(error)
    advice = next((text for kinds, text in _ADVICE.items() if isinstance(error, kinds)), "")
    return f"PostgreSQL says: {error.diag.message_primary} (SQLSTATE {error.sqlstate}){advice}"
