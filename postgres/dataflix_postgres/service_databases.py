"""``dataflix-databases``: the databases that Airflow and MLflow keep their own records in."""

from __future__ import annotations

import typer

from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.bootstrap import ensure_service_databases, sole_migration
from dataflix_postgres.database import connect_admin, describe

make_output_safe()
app = typer.Typer(add_completion=False)


@app.command()
def main() -> None:
    """Create or update roles and databases of Airflow and MLflow; running it again changes nothing."""
    with program_settings(describe) as settings, connect_admin(settings) as admin, sole_migration(admin):
        names = ensure_service_databases(admin, settings)
    typer.echo(f"databases {', '.join(names)}: up to date")
