"""The program ``dataflix-warehouse``: creates or updates the warehouse in ClickHouse by the contract."""

from __future__ import annotations

from collections import defaultdict

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from dataflix_clickhouse.schema_plan import Found, Step, leftovers, plan
from dataflix_clients import clickhouse
from dataflix_contract import Settings, tables
from dataflix_contract.console import Console
from dataflix_contract.faults import Fault, cannot_use, first_line, program_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_out = Console(highlight=False, soft_wrap=True)


def connect(settings: Settings) -> Client:
    """Connect as the warehouse's owner.

    Raises:
        Fault: the server does not answer, or refuses the password.
    """
    try:
        return clickhouse.connect(settings, settings.clickhouse_owner)
    except ClickHouseError as error:
        address = f"{settings.clickhouse_address} as {settings.clickhouse_owner.user}"
        raise Fault(cannot_use("ClickHouse", address, error)) from error


def find(client: Client) -> Found:
    """Read the present state of the warehouse."""
    databases = client.query("SELECT name, engine FROM system.databases")
    objects = client.query("SELECT name, comment FROM system.tables WHERE database = 'raw'")
    rows = client.query("SELECT table, name, type FROM system.columns WHERE database = 'raw'")
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for table, name, kind in rows.result_rows:
        columns[table][name] = kind
    ops_tables = client.query(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = 'ops' GROUP BY table"
    )
    return Found(
        {str(name): str(engine) for name, engine in databases.result_rows},
        {str(name): str(comment) for name, comment in objects.result_rows},
        columns,
        {str(name): frozenset(map(str, names)) for name, names in ops_tables.result_rows},
    )


def run(client: Client, step: Step) -> None:
    """Run one statement.

    Raises:
        Fault: the server refused it.
    """
    try:
        client.command(step.sql)
    except ClickHouseError as error:
        raise Fault(f"could not {step.what}: {first_line(error).rstrip('.')}") from error


@app.command()
def apply() -> None:
    """Create or update databases, tables and views of ClickHouse; a second run changes nothing."""
    with program_settings() as settings:
        contract = tuple(tables().values())
        client = connect(settings)
        found = find(client)
        steps = list(plan(contract, found, settings.kafka_bootstrap, settings.clickhouse_cluster))
        for step in steps:
            run(client, step)
            _out.print(step.what)
        for column in leftovers(contract, found):
            table, name = column.split(".")
            _out.print(
                f"raw.{column} is not in the contract and keeps its values:"
                f" ALTER TABLE raw.{table} DROP COLUMN {name} deletes them"
            )
        _out.print(f"the warehouse is up to date, {len(steps)} statements run")
