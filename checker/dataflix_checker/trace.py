"""``dataflix-trace``: follow the next change of one row, live, stage by stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from psycopg import sql
from rich.markup import escape

from dataflix_checker.canary import Canary, play_canary
from dataflix_checker.clients import open_postgres, open_warehouse
from dataflix_checker.findings import describe
from dataflix_checker.row_trace import RowTrace, following
from dataflix_contract import Settings, Table, tables
from dataflix_contract.console import Console
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
        bool, typer.Option("--touch", help="Write the row anew, unchanged, so that there is a change.")
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
        with open_postgres(settings) as source:
            yield from play_canary(Canary(), settings, source, open_warehouse(settings))
        return
    table = _table(name)
    row = parse_key(table, key)
    with following(settings, open_warehouse(settings), table) as follower:
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
    with open_postgres(settings) as source:
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
    """Read ``column=number`` parts into the table's primary key, in its order.

    Raises:
        typer.BadParameter: a part is malformed, missing or too much.
    """
    given = dict(part.partition("=")[::2] for part in parts)
    if set(given) != set(table.key):
        wanted = " ".join(f"{column}=…" for column in table.key)
        raise typer.BadParameter(f"the key of {table.name} is {wanted}")
    try:
        return {column: int(given[column]) for column in table.key}
    except ValueError as error:
        raise typer.BadParameter(f"a key column holds a whole number: {error}") from error


class Printer:
    """Prints a line a change, and a line each stage as it is reached."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._title = ""

    def __call__(self, title: str, trace: RowTrace) -> None:
        """Print the stage that a change has just reached."""
        if title != self._title:
            self._title = title
            self._console.print(f"[bold]{escape(title)}[/]  version {trace.version}")
            self._console.print("  committed        0 ms")
        stage, milliseconds = list(trace.milliseconds.items())[-1]
        line = f"  {stage:<10} {milliseconds:7.0f} ms{_what(stage, trace)}"
        self._console.print(line, no_wrap=True, overflow="ellipsis")


def _what(stage: str, trace: RowTrace) -> str:
    """The masked record itself, at the stage in which it is made: it may be shown."""
    if stage != "masked":
        return ""
    change = json.loads(trace.masked_value)
    return f"   [dim]{escape(json.dumps(change['after'] or change['before'], ensure_ascii=False))}[/]"


def print_json(title: str, trace: RowTrace) -> None:
    """Print the stage that a change has just reached as a line of JSON."""
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
