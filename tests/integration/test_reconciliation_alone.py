"""The reconciliation as the fallback: the stream is down, somebody truncates, somebody kills it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clients.connect import ConnectClient
from dataflix_contract import Settings
from dataflix_reconciliation import warehouse_staging as staging
from support.equality import differences
from support.stack import ROOT, Stack
from support.waiting import wait_until

pytestmark = pytest.mark.disruptive

RECONCILE = "bin/dataflix-reconcile"


@pytest.fixture
def no_stream(settings: Settings) -> Iterator[None]:
    """A stopped connector: nothing is captured."""
    with ConnectClient(settings) as connect:
        connect.stop()
        yield
        connect.resume()


def staged(settings: Settings) -> list[str]:
    with staging.connected(settings) as client:
        rows = client.query("SELECT name FROM system.tables WHERE database = 'staging'").result_rows
    return [str(name) for (name,) in rows]


def test_without_a_stream_the_warehouse_becomes_equal_and_stays_so_when_it_returns(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    """Changes, and a TRUNCATE, of which the stream has not told yet."""
    wait_until(lambda: differences(source, warehouse, settings) == [], "both are equal before", 240)
    with ConnectClient(settings) as connect:
        connect.stop()
        source.execute("CREATE TEMPORARY TABLE kept AS TABLE ratings")
        [ratings] = source.execute("SELECT count(*) FROM kept").fetchone() or [0]
        source.execute("TRUNCATE ratings")
        source.execute("INSERT INTO users (user_id, name) VALUES (-1, 'Added unseen'), (-2, 'Gone soon')")
        source.execute("UPDATE movies SET overview = 'Changed unseen' WHERE movie_id IN (1, 2)")
        told = stack.run(RECONCILE, "--json", "users", "movies", "ratings", "--stream-timeout", "1")
        users, movies, rated = (json.loads(line) for line in told.stdout.splitlines())
        assert (users["missing"], movies["different"], rated["ghosts"]) == (2, 2, ratings)
        assert {report["stream"] for report in (users, movies, rated)} == {"behind"}
        assert differences(source, warehouse, settings) == []

        source.execute("DELETE FROM users WHERE user_id = -2")
        source.execute("UPDATE users SET name = 'Changed later' WHERE user_id = -1")
        source.execute("INSERT INTO ratings SELECT * FROM kept")
        told = stack.run(RECONCILE, "users", "--json")
        assert json.loads(told.stdout)["stream"] == "down"
        assert "does not move" in told.stderr
        connect.resume()
    wait_until(lambda: differences(source, warehouse, settings) == [], "the stream has caught up", 240)
    for line in stack.run(RECONCILE, "--json").stdout.splitlines():
        report = json.loads(line)
        assert report["missing"] == report["different"] == report["ghosts"] == 0
    source.execute("DELETE FROM users WHERE user_id = -1")


@pytest.mark.usefixtures("no_stream")
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_the_next_one_finishes(
    blow: signal.Signals,
    stack: Stack,
    settings: Settings,
    source: psycopg.Connection,
    warehouse: Client,
) -> None:
    source.execute("INSERT INTO users (user_id, name) VALUES (-3, 'Added unseen')")
    run_id = f"killed-{blow.name}"
    command = [RECONCILE, "users", "--json", "--run-id", run_id]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as victim:
        assert victim.stderr is not None
        assert any("waiting for the stream" in line for line in victim.stderr)
        os.kill(victim.pid, blow)
    assert victim.returncode not in (0, 1)
    assert bool(staged(settings)) is (blow == signal.SIGKILL)
    live = "SELECT count() FROM raw.users FINAL WHERE user_id = -3"
    assert warehouse.command(live) == 0

    told = stack.run(RECONCILE, "users", "--json", "--run-id", run_id, "--stream-timeout", "1")
    assert json.loads(told.stdout)["missing"] == 1
    assert warehouse.command(live) == 1
    assert staged(settings) == []
    source.execute("DELETE FROM users WHERE user_id = -3")
    stack.run(RECONCILE, "users", "--stream-timeout", "1")
    assert warehouse.command(live) == 0
