"""Real data, end to end: MovieLens ml-latest-small from its files to the warehouse."""

import json
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from support.equality import differences
from support.stack import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.other_data

FIGURES = {
    "movies": "count(*)",
    "users": "count(*)",
    "watched_movies": "count(*)",
    "ratings": "count(*)",
    "ratings AS stars": "sum(rating)",
}
EXPECTED_COUNTS = (9_742, 610, 100_836, 100_836)
EXPECTED_MEAN = 3.501557


def _in_source(source: psycopg.Connection) -> tuple[int | Decimal, ...]:
    parts = ", ".join(f"(SELECT {figure} FROM {table})" for table, figure in FIGURES.items())
    row = source.execute(f"SELECT {parts}").fetchone()
    assert row is not None
    return tuple(row)


def _in_warehouse(warehouse: Client) -> tuple[int | Decimal, ...]:
    live = "FINAL WHERE NOT _deleted"
    parts = ", ".join(f"(SELECT {figure} FROM raw.{table} {live})" for table, figure in FIGURES.items())
    return tuple(warehouse.query(f"SELECT {parts}").first_row or ())


def test_imported_counts_and_sums_are_equal_in_source_and_warehouse(
    stack: Stack, movielens: Path, source: psycopg.Connection, warehouse: Client, settings: Settings
) -> None:
    stack.run("bin/dataflix-import", str(movielens), "--replace", "--json")
    figures = _in_source(source)
    assert figures[:4] == EXPECTED_COUNTS
    assert float(figures[4]) / EXPECTED_COUNTS[3] == pytest.approx(EXPECTED_MEAN, abs=5e-7)
    wait_until(lambda: _in_warehouse(warehouse) == figures, "counts and sums are equal", seconds=300)
    wait_until(lambda: not differences(source, warehouse, settings), "every row is equal")


def test_an_import_run_again_changes_nothing(
    stack: Stack, movielens: Path, source: psycopg.Connection
) -> None:
    newest = "SELECT count(*), max(xmin::text::bigint) FROM ratings"
    before = source.execute(newest).fetchone()
    report = json.loads(stack.run("bin/dataflix-import", str(movielens), "--json").stdout)
    assert source.execute(newest).fetchone() == before
    assert report
