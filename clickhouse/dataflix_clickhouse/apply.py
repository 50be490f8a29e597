"""``dataflix-warehouse``: make the warehouse what the contract says."""

from __future__ import annotations

import typer

from dataflix_clickhouse import plan as planning
from dataflix_clickhouse import warehouse
from dataflix_contract import Settings, tables
from dataflix_contract.console import Console
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_out = Console(highlight=False, soft_wrap=True)


@app.command()
def apply() -> None:
    """Create or update databases, tables and views of ClickHouse; a second run changes nothing."""
    with program_settings() as settings:
        _apply(settings)


def _apply(settings: Settings) -> None:
    contract = tuple(tables().values())
    client = warehouse.connect(settings)
    found = warehouse.find(client)
    steps = list(planning.plan(contract, found, settings.kafka_bootstrap, settings.clickhouse_cluster))
    for step in steps:
        warehouse.run(client, step)
        _out.print(step.what)
    for column in planning.leftovers(contract, found):
        table, name = column.split(".")
        _out.print(
            f"raw.{column} is not in the contract and keeps its values:"
            f" ALTER TABLE raw.{table} DROP COLUMN {name} deletes them"
        )
    _out.print(f"the warehouse is up to date, {len(steps)} statements run")
