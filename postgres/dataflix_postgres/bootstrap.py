"""Create databases and roles and grant rights in PostgreSQL, which mostly needs the superuser.

The program ``dataflix-databases`` creates the databases in which Airflow and MLflow keep their records.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import typer
from psycopg import sql
from pydantic import SecretStr

from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault, program_settings
from dataflix_contract.schema import (
    ADVANCE_IDENTITIES,
    HEARTBEAT_TABLE,
    IDEMPOTENCY_TABLE,
    SLOT,
    SOURCE_SCHEMA,
)
from dataflix_contract.settings import shared_names
from dataflix_contract.settings_conflicts import DATABASES, ROLES
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.database import connect_admin, describe, take_lock

#: The number of the advisory lock by which only one migration runs on a server at a time.
_LOCK = 0xDA7AF117
_LOCK_WAIT_SECONDS = 60

_LEAST = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")

make_output_safe()
app = typer.Typer(add_completion=False)


@contextlib.contextmanager
def sole_migration(admin: psycopg.Connection) -> Iterator[None]:
    """Hold the lock by which only one migration runs; it ends with the connection at the latest.

    The session's later statements also wait no longer than a minute for a lock.

    Raises:
        Fault: another migration holds the lock for longer than a minute.
    """
    take_lock(admin, _LOCK, _LOCK_WAIT_SECONDS, "dataflix-migrate")
    admin.execute(f"SET lock_timeout = '{_LOCK_WAIT_SECONDS}s'")
    try:
        yield
    finally:
        if not admin.broken:
            admin.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def ensure_roles_and_database(admin: psycopg.Connection, settings: Settings) -> None:
    """Create the roles and the database, or give existing ones the rights and passwords in the settings.

    Raises:
        Fault: the settings give two roles, or two databases, the same name.
    """
    _refuse_shared_names(settings)
    _ensure_role(admin, settings.postgres_user, settings.postgres_password, "NOREPLICATION")
    _ensure_role(admin, settings.postgres_api_user, settings.postgres_api_password, "NOREPLICATION")
    _ensure_role(admin, settings.debezium_user, settings.debezium_password, "REPLICATION")
    # The role waits for open transactions, and needs this right to name the sessions that they belong to.
    admin.execute(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(settings.debezium_user)))
    _ensure_database(admin, settings.postgres_db, settings.postgres_user)
    admin.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
            sql.Identifier(settings.postgres_db),
            sql.Identifier(settings.debezium_user),
            sql.Identifier(settings.postgres_api_user),
        )
    )


def refuse_other_database(admin: psycopg.Connection, settings: Settings) -> None:
    """Refuse settings with which a new, empty database would be used instead of the one that has the data.

    Raises:
        Fault: the server has the data in a database with another name, or with another owner.
    """
    captured = admin.execute(
        "SELECT database FROM pg_replication_slots WHERE slot_name = %s AND database <> %s",
        [SLOT, settings.postgres_db],
    ).fetchone()
    owner = admin.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [settings.postgres_db]
    ).fetchone()
    if captured and owner is None:
        raise Fault(
            f"the data of this PostgreSQL is in the database {captured[0]}, and the settings name"
            f" {settings.postgres_db}, which does not exist: set POSTGRES_DB={captured[0]} in the settings"
            " file to go on with this data, or delete it (./stop.sh --wipe)"
        )
    if owner and owner[0] != settings.postgres_user:
        raise Fault(
            f"the database {settings.postgres_db} belongs to the role {owner[0]}, and the settings name"
            f" {settings.postgres_user}: set POSTGRES_USER={owner[0]} in the settings file to go on with this"
            " data, or delete it (./stop.sh --wipe)"
        )


def ensure_service_databases(admin: psycopg.Connection, settings: Settings) -> list[str]:
    """Create the databases of Airflow and MLflow, each with an owner who has no rights in the others.

    Returns:
        The databases' names.

    Raises:
        Fault: the settings give two databases, or two roles, the same name.
    """
    owners = {
        settings.airflow_db: (settings.airflow_db_user, settings.airflow_db_password),
        settings.mlflow_db: (settings.mlflow_db_user, settings.mlflow_db_password),
    }
    _refuse_shared_names(settings)
    for database, (owner, password) in owners.items():
        _ensure_role(admin, owner, password, "NOREPLICATION")
        _ensure_database(admin, database, owner)
    return list(owners)


def _refuse_shared_names(settings: Settings) -> None:
    if faults := shared_names(settings, [*ROLES, *DATABASES]):
        raise Fault("; ".join(faults))


def grant_api_rights(owner: psycopg.Connection, settings: Settings) -> None:
    """Let the backend's role write the contract's tables and the idempotency keys, and advance the ids."""
    role = sql.Identifier(settings.postgres_api_user)
    schema = sql.Identifier(SOURCE_SCHEMA)
    written = [*tables(), IDEMPOTENCY_TABLE]
    names = sql.SQL(", ").join(sql.Identifier(SOURCE_SCHEMA, name) for name in written)
    statements = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schema, role),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(names, role),
        sql.SQL("GRANT EXECUTE ON FUNCTION {}() TO {}").format(
            sql.Identifier(SOURCE_SCHEMA, ADVANCE_IDENTITIES), role
        ),
    ]
    with owner.transaction():
        for statement in statements:
            owner.execute(statement)


def grant_replication_rights(owner: psycopg.Connection, settings: Settings) -> None:
    """Let the replication role read the published tables and update the heartbeat, and nothing else."""
    role = sql.Identifier(settings.debezium_user)
    schema = sql.Identifier(SOURCE_SCHEMA)
    heartbeat = sql.Identifier(SOURCE_SCHEMA, HEARTBEAT_TABLE)
    published = [sql.Identifier(SOURCE_SCHEMA, name) for name in tables()]
    statements = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schema, role),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role),
        sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(", ").join([*published, heartbeat]), role),
        sql.SQL("GRANT UPDATE ON {} TO {}").format(heartbeat, role),
    ]
    with owner.transaction():
        for statement in statements:
            owner.execute(statement)


def _ensure_role(admin: psycopg.Connection, name: str, password: SecretStr, replication: str) -> None:
    found = admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    # Hashed here, so that the password itself is neither sent nor logged.
    verifier = admin.pgconn.encrypt_password(
        password.get_secret_value().encode(), name.encode(), b"scram-sha-256"
    ).decode()
    verb = sql.SQL("CREATE" if found is None else "ALTER")
    admin.execute(
        sql.SQL("{} ROLE {} {} {} PASSWORD {}").format(
            verb, sql.Identifier(name), _LEAST, sql.SQL(replication), sql.Literal(verifier)
        )
    )


def _ensure_database(admin: psycopg.Connection, name: str, owner: str) -> None:
    known = admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
    if known is None:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


@app.command()
def main() -> None:
    """Create or update the roles and databases of Airflow and MLflow; it may be run again at any time."""
    with program_settings(describe) as settings, connect_admin(settings) as admin, sole_migration(admin):
        names = ensure_service_databases(admin, settings)
    typer.echo(f"databases {', '.join(names)}: up to date")
