"""The program ``dataflix-trace``: follows the next change of a row through the pipeline, stage by stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from psycopg import sql

from dataflix_checker.canary import Canary, play_canary
from dataflix_clients import clickhouse, postgres
from dataflix_clients.row_trace import Printer, RowTrace, following
from dataflix_clients.server_errors import describe
from dataflix_contract import Settings, Table, tables
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False)


@app.command()
def trace(
    table: Annotated[str | None, typer.Argument(help="A table, such as ratings.")] = None,
    key: Annotated[
        list[str] | None, typer.Argument(help="The row's primary key: user_id=1 movie_id=318.")
    ] = None,
    touch: Annotated[
        bool,
        typer.Option("--touch", help="Update the row without changing its values, to cause a change event."),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the change.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a stage, a line each.")] = False,
) -> None:
    """Follow a row's next change: committed, captured, masked, queryable, in milliseconds.

    Without a table, a canary user rates a film and is deleted again, and every change is shown.
    """
    show = print_json if as_json else Printer()
    with program_settings(describe) as settings:
        for title, trace in _row_traces(settings, table, key or [], touch=touch, timeout=timeout):
            show(title, trace)


def _row_traces(
    settings: Settings, name: str | None, key: list[str], *, touch: bool, timeout: float
) -> Iterator[tuple[str, RowTrace]]:
    if name is None:
        with postgres.connect(settings, settings.postgres_owner) as source:
            yield from play_canary(
                Canary(), settings, source, clickhouse.connect(settings, settings.clickhouse_reader)
            )
        return
    table = _table(name)
    row = parse_key(table, key)
    with following(settings, clickhouse.connect(settings, settings.clickhouse_reader), table) as follower:
        if touch:
            _touch(settings, table, row)
        else:
            typer.echo(f"waiting for a change of {name} {' '.join(key)} …", err=True)
        yield from ((f"{name} {' '.join(key)}", trace) for trace in follower.follow(table, row, timeout))


def _touch(settings: Settings, table: Table, key: Mapping[str, Any]) -> None:
    column = sql.Identifier(table.key[0])
    where = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in key
    )
    statement = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
        sql.Identifier(table.name), column, column, where
    )
    with postgres.connect(settings, settings.postgres_owner) as source:
        touched = source.execute(statement, key).rowcount
    if touched == 0:
        typer.echo(f"dataflix-trace: no row {dict(key)} in {table.name}", err=True)
        raise typer.Exit(1)


def _table(name: str) -> Table:
    try:
        return tables()[name]
    except KeyError:
        known = ", ".join(tables())
        raise typer.BadParameter(f"no table {name!r} in the contract; there are {known}") from None


def parse_key(table: Table, parts: list[str]) -> dict[str, int]:
    """Read a primary key from parts like ``column=number``, in the order of the table's key.

    Raises:
        typer.BadParameter: a part is malformed or missing, or is no column of the key.
    """
    given = dict(part.partition("=")[::2] for part in parts)
    if set(given) != set(table.key):
        wanted = " ".join(f"{column}=…" for column in table.key)
        raise typer.BadParameter(f"the key of {table.name} is {wanted}")
    try:
        return {column: int(given[column]) for column in table.key}
    except ValueError as error:
        raise typer.BadParameter(f"a key column holds a whole number: {error}") from error


def print_json(title: str, trace: RowTrace) -> None:
    """Print, as a line of JSON, the stage that a change has just reached."""
    line = {
        "change": title,
        "table": trace.table,
        "key": dict(trace.key),
        "op": trace.op,
        "version": trace.version,
        "stage": list(trace.at)[-1],
        "milliseconds": list(trace.milliseconds.values())[-1],
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
