"""Connect to the source database, take its advisory locks, and advance its generated ids."""

from __future__ import annotations

import psycopg

from dataflix_clients import postgres
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import ADVANCE_IDENTITIES

_PROGRAM = "dataflix-postgres"


def connect_owner(settings: Settings) -> psycopg.Connection:
    """Connect to the database as the owner of its tables, without autocommit.

    Raises:
        ConnectionFault: the server does not answer or refuses the connection.
    """
    connection = postgres.connect(settings, settings.postgres_owner, program=_PROGRAM)
    connection.autocommit = False
    return connection


def connect_admin(settings: Settings) -> psycopg.Connection:
    """Connect to the server's ``postgres`` database as the superuser, in autocommit mode.

    Raises:
        ConnectionFault: the server does not answer or refuses the connection.
    """
    return postgres.connect(settings, settings.postgres_admin, program=_PROGRAM, database="postgres")


def take_lock(connection: psycopg.Connection, number: int, seconds: int, program: str) -> None:
    """Take the advisory lock ``number`` for the session, so that ``program`` runs once at a time.

    The connection must be in autocommit mode; the lock ends with it at the latest.

    Raises:
        Fault: another session still holds it after so many seconds.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{seconds}s"])
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [number])
    except psycopg.errors.LockNotAvailable:
        raise Fault(f"another {program} is running: wait until it has ended, and run it again") from None
    connection.execute("RESET lock_timeout")


def advance_identities(connection: psycopg.Connection) -> None:
    """Advance the sequences of ids beyond those in the tables, after rows with ids of their own were loaded.

    They are never set back.
    """
    connection.execute(f"SELECT {ADVANCE_IDENTITIES}()".encode())


def describe(error: Exception, _settings: Settings) -> str | None:
    """The message with which a program ends after an error of PostgreSQL; None: it is another error."""
    return postgres.describe(error) if isinstance(error, psycopg.Error) else None
