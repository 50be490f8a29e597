"""One statement that inserts many rows: seconds from its commit until the last is in the warehouse."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import typer

from dataflix_clients import clickhouse, postgres
from dataflix_contract import load_settings
from figures import report

_GIVE_UP_SECONDS = 300.0


def main(
    rows: Annotated[int, typer.Option(help="Users to insert in one statement.")] = 500_000,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Insert users (the table with most to mask), wait for all of them, delete them again.

    Raises:
        TimeoutError: they are not all there within five minutes.
    """
    settings = load_settings()
    warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
    mark = f"bulk {secrets.token_hex(4)}"  # the rows of an earlier run are still there, as old versions
    arrived = "SELECT uniqExact(user_id) FROM raw.users WHERE city = {mark:String} AND NOT _deleted"
    with postgres.connect(settings, settings.postgres_owner) as source:
        try:
            started = time.perf_counter()
            source.execute(
                "INSERT INTO users (name, email, birth_year, city)"
                " SELECT 'Bulk Person ' || n, 'bulk' || n || '@example.com', 1950 + n %% 50, %s"
                " FROM generate_series(1, %s) AS n",
                [mark, rows],
            )
            committed = time.perf_counter()
            first = None
            while (count := int(str(warehouse.command(arrived, parameters={"mark": mark})))) < rows:
                first = first or (time.perf_counter() if count else None)
                if time.perf_counter() - committed > _GIVE_UP_SECONDS:
                    raise TimeoutError(f"{count:,} of {rows:,} rows after {_GIVE_UP_SECONDS:g} s")
                time.sleep(0.25)
            visible = time.perf_counter()
        finally:
            source.execute("DELETE FROM users WHERE city = %s", [mark])
    figures = {
        "rows": rows,
        "statement s": committed - started,
        "commit to first row s": (first or visible) - committed,
        "commit to last row s": visible - committed,
        "rows/s": rows / (visible - committed),
    }
    report("one statement", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
