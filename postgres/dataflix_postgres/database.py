"""Connections to the source database, and its generated ids."""

from __future__ import annotations

import psycopg

from dataflix_clients import postgres
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import ADVANCE_IDENTITIES

_PROGRAM = "dataflix-postgres"


def connect_owner(settings: Settings) -> psycopg.Connection:
    """Connect to the database as the owner of its tables; each transaction is to be committed.

    Raises:
        ConnectionFault: the server does not answer or does not let us in.
    """
    connection = postgres.connect(settings, settings.postgres_owner, program=_PROGRAM)
    connection.autocommit = False
    return connection


def connect_admin(settings: Settings) -> psycopg.Connection:
    """Connect to the server's ``postgres`` database as the superuser, in autocommit mode.

    Raises:
        ConnectionFault: the server does not answer or does not let us in.
    """
    return postgres.connect(settings, settings.postgres_admin, program=_PROGRAM, database="postgres")


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
    """An error of PostgreSQL in words, as a program ends with it; None: it is an error in the program."""
    return postgres.describe(error) if isinstance(error, psycopg.Error) else None
