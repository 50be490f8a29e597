"""Latency of single inserts on an idle stack: from the commit until a query of raw.users finds the row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dataflix_clients import clickhouse, postgres
from dataflix_contract import load_settings
from figures import percentiles, report

if TYPE_CHECKING:
    import psycopg
    from clickhouse_connect.driver.client import Client

_POLL_SECONDS = 0.004
_GIVE_UP_SECONDS = 30.0
_PAUSE_SECONDS = 0.15  # so that batches of the one before do not help the next
_MARK = "latency benchmark"


def visible_after(source: psycopg.Connection, warehouse: Client) -> float:
    """Insert a user and return the milliseconds from the commit until a query finds it.

    Raises:
        TimeoutError: the row is not there within 30 seconds.
    """
    row = source.execute(
        "INSERT INTO users (name, email, city) VALUES"
        " (%s, 'latency' || gen_random_uuid() || '@example.com', %s) RETURNING user_id",
        ["Latency Benchmark", _MARK],
    ).fetchone()
    committed = time.perf_counter()
    assert row is not None
    query = "SELECT count() FROM raw.users WHERE user_id = {id:Int64}"
    while int(str(warehouse.command(query, parameters={"id": row[0]}))) == 0:
        if time.perf_counter() - committed > _GIVE_UP_SECONDS:
            raise TimeoutError(f"user {row[0]} is not in raw.users after {_GIVE_UP_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
    return (time.perf_counter() - committed) * 1000


def main(
    inserts: Annotated[int, typer.Option(help="Rows to insert, one at a time.")] = 200,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, print, and delete the rows again."""
    settings = load_settings()
    warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
    sample = []
    with postgres.connect(settings, settings.postgres_owner) as source:
        try:
            for _ in range(inserts):
                sample.append(visible_after(source, warehouse))
                time.sleep(_PAUSE_SECONDS)
        finally:
            source.execute("DELETE FROM users WHERE city = %s", [_MARK])
    report("commit to visible, idle stack", {"inserts": inserts, **percentiles(sample)}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
