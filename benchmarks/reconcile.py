"""The daily reconciliation: rows a second and peak memory, beside a bare copy in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, LiteralString

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.summary import QuerySummary

from dataflix_clickhouse import warehouse as clickhouse
from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_contract import Masking, PiiClass, Settings, Table, tables
from dataflix_reconciliation import warehouse_staging
from dataflix_reconciliation.source_snapshot import Masker, take_snapshot
from figures import report
from support.stack import ROOT, Stack, running_stack

_MEGABYTE = 2**20
_KILOBYTE = 2**10
_TOKEN = "0badcafe"


@dataclass(frozen=True)
class Outcome:
    """One run of the program: its report, its process's CPU seconds and the most memory that it held."""

    report: dict[str, Any]
    cpu_s: float
    peak_mb: float

    @property
    def rows_a_second(self) -> float:
        """Rows compared a second, from the lock to the kept report; the interpreter's start is left out."""
        return float(self.report["rows"] / self.report["seconds"])

    @property
    def repaired(self) -> int:
        """Rows that had to be written."""
        return int(self.report["missing"] + self.report["different"] + self.report["ghosts"])


def main(
    users: Annotated[int, typer.Option(help="Users, whose names and addresses are masked.")] = 100_000,
    ratings: Annotated[int, typer.Option(help="Ratings.")] = 1_000_000,
    large: Annotated[int, typer.Option(help="Ratings of the second round; 0 leaves it out.")] = 5_000_000,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Start a stack, fill PostgreSQL behind the stopped stream's back, reconcile, throw it away."""
    with running_stack(profile="core") as stack:
        with ConnectClient(stack.settings) as connect:
            connect.stop()
        figures: dict[str, float] = {}
        _fill_users(stack.settings, users)
        _fill_ratings(stack.settings, ratings)
        figures |= _measure(stack, "users")
        figures |= _measure(stack, "ratings")
        if large:
            _fill_ratings(stack.settings, large)
            figures |= {f"{large:,} {name}": value for name, value in _measure(stack, "ratings").items()}
    report("reconciliation", figures, as_json=as_json)


def _measure(stack: Stack, name: str) -> dict[str, float]:
    """Copy the table and do nothing else; load it; find nothing; find one row in a hundred altered."""
    bare = _bare_copy(stack.settings, tables()[name])
    load = _reconcile(stack, name)
    equal = _reconcile(stack, name)
    _alter_rows(stack.settings, tables()[name])
    repair = _reconcile(stack, name)
    assert equal.repaired == 0, equal.report
    assert repair.repaired > 0, repair.report
    return {
        f"{name}, bare copy rows/s": bare,
        f"{name}, all missing rows/s": load.rows_a_second,
        f"{name}, equal rows/s": equal.rows_a_second,
        f"{name}, 1 % altered rows/s": repair.rows_a_second,
        f"{name}, equal / bare copy": equal.rows_a_second / bare,
        f"{name}, CPU seconds of the task, start included": equal.cpu_s,
        f"{name}, peak memory MB": max(load.peak_mb, equal.peak_mb, repair.peak_mb),
        f"{name}, ClickHouse's memory to compare MB": _comparison_mb(stack.settings, tables()[name]),
    }


def _reconcile(stack: Stack, name: str) -> Outcome:
    """Run the program as the daily batch does."""
    command = ["bin/dataflix-reconcile", name, "--json", "--stream-timeout", "0"]
    environment = os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told
    return Outcome(json.loads(told), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KILOBYTE)


def _bare_copy(settings: Settings, table: Table) -> float:
    """Rows a second out of PostgreSQL and into a table of ClickHouse: neither masked nor compared."""
    public = {name: replace(column, pii=PiiClass.PUBLIC) for name, column in table.columns.items()}
    began = time.perf_counter()
    with _loaded(settings, Table(table.name, table.key, public)) as (_client, rows):
        return rows / (time.perf_counter() - began)


def _comparison_mb(settings: Settings, table: Table) -> float:
    """Most memory that ClickHouse held for the statement that compares both sides."""
    with _loaded(settings, table) as (client, _rows):
        names = warehouse_staging.Names.of(table, _TOKEN)
        client.command(warehouse_staging.render("findings", table, names))
        done = client.command(warehouse_staging.render("compare", table, names))
        assert isinstance(done, QuerySummary)
        return int(done.summary["memory_usage"]) / _MEGABYTE


@contextmanager
def _loaded(settings: Settings, table: Table) -> Iterator[tuple[Client, int]]:
    """A table's rows in staging; yields how many."""
    masker = Masker(table, Masking(settings.masking_key.get_secret_value(), settings.masking_key_id))
    with warehouse_staging.connected(settings) as client:
        staging = warehouse_staging.Staging(client, table, _TOKEN)
        try:
            with take_snapshot(settings, table) as snapshot:
                rows = staging.load(masker.schema, map(masker.mask, snapshot.blocks))
            yield client, rows
        finally:
            staging.drop()


def _fill_users(settings: Settings, count: int) -> None:
    _execute(
        settings,
        "TRUNCATE users CASCADE",
        "INSERT INTO users (user_id, name, email, birth_year, city, state)"
        " SELECT n, 'Bench Person ' || n, 'bench' || n || '@example.com', 1950 + n %% 50, 'Town ' || n %% 99,"
        " 'Ohio' FROM generate_series(1, %(count)s) AS n",
        count=count,
    )


def _fill_ratings(settings: Settings, count: int) -> None:
    """Ratings of films that nobody has watched: foreign keys are not what is measured."""
    _execute(
        settings,
        "TRUNCATE ratings",
        "SET session_replication_role = replica",
        "INSERT INTO ratings (user_id, movie_id, rating, rated_at)"
        " SELECT n %% 100000, n / 100000, (1 + n %% 10) / 2.0, timestamptz '2020-01-01Z' + n * interval '1 s'"
        " FROM generate_series(1, %(count)s) AS n",
        count=count,
    )


def _execute(settings: Settings, *queries: LiteralString, **parameters: int) -> None:
    with postgres.connect(settings, settings.postgres_admin) as source:
        for query in queries:
            source.execute(query, parameters if "%(" in query else None)


def _alter_rows(settings: Settings, table: Table) -> None:
    """Alter one row in a hundred behind the stream's back."""
    value = {"users": "'vandal' AS city", "ratings": "0.5 AS rating"}[table.name]
    clickhouse.connect(settings).command(
        f"INSERT INTO raw.{table.name} SELECT * REPLACE ({value})"
        f" FROM raw.{table.name} FINAL WHERE cityHash64({', '.join(table.key)}) % 100 = 0"
    )


if __name__ == "__main__":
    typer.run(main)
