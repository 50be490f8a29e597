"""The program ``dataflix-migrate``: sets up a PostgreSQL server for this version of Dataflix.

The tables are made by numbered SQL files; those that a database lacks are applied in order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg
import typer

from dataflix_clients.preflight import judge_tables
from dataflix_clients.source_facts import read_facts
from dataflix_contract import Settings
from dataflix_contract.faults import Fault, program_settings
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.bootstrap import (
    ensure_roles_and_database,
    grant_api_rights,
    grant_replication_rights,
    refuse_other_database,
    sole_migration,
)
from dataflix_postgres.database import connect_admin, connect_owner, describe

make_output_safe()
app = typer.Typer(add_completion=False)

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@app.command()
def main() -> None:
    """Create or update the database, roles, tables and publication; it may be run again at any time."""
    with program_settings(describe) as settings:
        with connect_admin(settings) as admin:
            refuse_other_database(admin, settings)
        applied, notes = set_up(settings)
    for migration in applied:
        typer.echo(f"applied {migration.name}")
    for note in notes:
        typer.echo(f"note: {note}")
    state = f"{len(applied)} migrations applied" if applied else "up to date"
    typer.echo(f"database {settings.postgres_db}: {state}")


def set_up(settings: Settings) -> tuple[tuple[Migration, ...], list[str]]:
    """Create or update roles, database, tables and rights.

    Returns:
        The migrations that were applied, and texts that say how the tables differ from the contract.

    Raises:
        Fault: the server cannot be reached, or a migration cannot be applied.
    """
    with connect_admin(settings) as admin, sole_migration(admin):
        ensure_roles_and_database(admin, settings)
        with connect_owner(settings) as owner:
            applied = migrate(owner, shipped_migrations())
            grant_replication_rights(owner, settings)
            grant_api_rights(owner, settings)
            return applied, [finding.text for finding in judge_tables(read_facts(owner, settings), settings)]


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration: one SQL file with its number."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Digest of the text, which shows whether a file was changed after it was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations() -> tuple[Migration, ...]:
    """The migrations of this package, in order."""
    folder = files(__package__).joinpath("migrations")
    return in_order((entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir())


def in_order(named: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """Make migrations from pairs of file name and text, and sort them.

    Raises:
        Fault: a name is not ``NNNN_words.sql``, or the numbers are not 1, 2, 3 and so on.
    """
    found = sorted((_migration(name, text) for name, text in named), key=lambda each: each.version)
    if [each.version for each in found] != list(range(1, len(found) + 1)):
        raise Fault("migrations must be numbered 0001, 0002 and so on, without gaps or doubles")
    return tuple(found)


def pending(shipped: Sequence[Migration], recorded: Mapping[int, str]) -> tuple[Migration, ...]:
    """The migrations that a database with these recorded digests lacks.

    Raises:
        Fault: a recorded file was changed, or the database has a newer migration.
    """
    unknown = recorded.keys() - {each.version for each in shipped}
    if unknown:
        raise Fault(
            f"the database has migration {max(unknown):04}, which this version of Dataflix does not know:"
            " use the version that made it, or a newer one"
        )
    for each in shipped:
        if recorded.get(each.version, each.sha256) != each.sha256:
            raise Fault(
                f"migration {each.name} changed after it was applied: restore the file"
                " and put the change into a new migration"
            )
    return tuple(each for each in shipped if each.version not in recorded)


def migrate(owner: psycopg.Connection, shipped: Sequence[Migration]) -> tuple[Migration, ...]:
    """Apply and return the migrations that the database lacks, each in a transaction of its own.

    Raises:
        Fault: see `pending`; or a migration failed, and was rolled back.
    """
    with owner.transaction():
        owner.execute(_RECORD)
    with owner.transaction():
        rows = owner.execute("SELECT version, sha256 FROM schema_migrations").fetchall()
    todo = pending(shipped, dict(rows))
    for each in todo:
        _apply(owner, each)
    return todo


def _apply(owner: psycopg.Connection, each: Migration) -> None:
    try:
        with owner.transaction():
            owner.execute(each.sql.encode())
            owner.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                [each.version, each.name, each.sha256],
            )
    except psycopg.Error as error:
        raise Fault(f"migration {each.name} failed and was undone: {error.diag.message_primary}") from error


def _migration(name: str, text: str) -> Migration:
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        raise Fault(f"{name} is no migration: the name must look like 0001_tables.sql")
    return Migration(int(match[1]), name, text)
