"""``dataflix-migrate``: bring a PostgreSQL server to what this version of Dataflix needs."""

from __future__ import annotations

import typer

from dataflix_clients.preflight import judge_tables
from dataflix_clients.source_facts import read_facts
from dataflix_contract import Settings
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.bootstrap import (
    ensure_roles_and_database,
    grant_api_rights,
    grant_replication_rights,
    refuse_orphans,
    sole_migration,
)
from dataflix_postgres.database import connect_admin, connect_owner, describe
from dataflix_postgres.migrations import Migration, migrate, shipped_migrations

make_output_safe()
app = typer.Typer(add_completion=False)


@app.command()
def main() -> None:
    """Create or update database, roles, tables and publication; running it again changes nothing."""
    with program_settings(describe) as settings:
        with connect_admin(settings) as admin:
            refuse_orphans(admin, settings)
        applied, notes = set_up(settings)
    for migration in applied:
        typer.echo(f"applied {migration.name}")
    for note in notes:
        typer.echo(f"note: {note}")
    state = f"{len(applied)} migrations applied" if applied else "up to date"
    typer.echo(f"database {settings.postgres_db}: {state}")


def set_up(settings: Settings) -> tuple[tuple[Migration, ...], list[str]]:
    """Do all that ``dataflix-migrate`` does.

    Returns:
        The migrations that were applied, and how the tables differ from the contract.

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
