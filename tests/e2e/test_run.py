"""What a person does: start again, stop and start, collide with another stack, check, trace."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_checker.clients import open_postgres, open_warehouse
from dataflix_contract import Settings
from dataflix_contract.settings import ENV_PREFIX
from support.stack import Stack, running_stack
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("settings")


def _pids(stack: Stack) -> dict[str, int]:
    return {one["service"]: one["pid"] for one in stack.status()["services"]}


def test_starting_a_running_stack_disturbs_nothing(stack: Stack) -> None:
    before = _pids(stack)
    stack.up()
    assert _pids(stack) == before
    assert None not in before.values()


def test_a_second_stack_on_the_same_ports_is_refused_by_name(stack: Stack) -> None:
    folder = stack.env_file.parent
    twin = folder / "twin.env"
    lines = [line for line in stack.env_file.read_text().splitlines() if "DATA_DIR" not in line]
    twin.write_text("\n".join([*lines, f"{ENV_PREFIX}DATA_DIR={folder / 'twin'}", ""]))
    try:
        refused = stack.run("./run.sh", "--native", "--env-file", str(twin), check=False)
    finally:  # it must not have started; if it did, it goes
        stack.run("./stop.sh", "--env-file", str(twin), "--wipe", "--yes")
    assert refused.returncode == 1
    assert str(stack.settings.postgres_port) in refused.stderr + refused.stdout
    assert "DATAFLIX_POSTGRES_PORT" in refused.stderr + refused.stdout


def test_the_checker_follows_the_canary_and_leaves_nothing(stack: Stack, source: psycopg.Connection) -> None:
    people = _count_users(source)
    report = json.loads(stack.run("./check_all_works.py", "--no-batch", "--json").stdout)
    assert report["ok"] is True
    followed = [one for one in report["checks"] if one["milliseconds"]]
    assert [one["check"] for one in followed] == [
        "user inserted",
        "rating inserted",
        "rating updated",
        "user updated",
        "rating deleted",
        "user deleted",
        "api: film watched",
        "api: film rated",
    ]
    for one in followed:
        assert list(one["milliseconds"]) == ["captured", "masked", "queryable"]
    assert _count_users(source) == people


def test_the_checker_names_what_is_down(stack: Stack) -> None:
    stack.run("bin/dataflix-stack", "stop", "masker-0")
    try:
        done = stack.run("./check_all_works.py", "--no-batch", "--json", check=False)
    finally:
        stack.run("bin/dataflix-stack", "start", "masker-0")
    assert done.returncode == 1
    faults = [one["check"] for one in json.loads(done.stdout)["checks"] if not one["ok"]]
    assert faults == ["masker-0", "rows travel"]


def test_the_trace_follows_a_row_that_is_touched(stack: Stack, source: psycopg.Connection) -> None:
    row = source.execute("SELECT user_id FROM users ORDER BY user_id LIMIT 1").fetchone()
    assert row is not None
    lines = stack.run("bin/dataflix-trace", "users", f"user_id={row[0]}", "--touch", "--json").stdout
    stages: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    assert [one["stage"] for one in stages] == ["captured", "masked", "queryable"]
    assert {one["op"] for one in stages} == {"u"}
    assert stages[-1]["milliseconds"] > 0


def test_the_trace_of_a_row_that_is_not_there_says_so(stack: Stack) -> None:
    done = stack.run("bin/dataflix-trace", "users", "user_id=-1", "--touch", check=False)
    assert done.returncode == 1
    assert "no row" in done.stderr


@pytest.fixture(scope="module")
def other() -> Iterator[Stack]:
    """The stream alone, beside the stack that all tests share."""
    with running_stack(profile="core", masker_workers="2") as other:
        yield other


def test_two_stacks_run_side_by_side(other: Stack, settings: Settings) -> None:
    assert {one["state"] for one in other.status()["services"]} == {"ready"}
    with _connections(settings) as (_, warehouse), _connections(other.settings) as (there, elsewhere):
        there.execute("INSERT INTO users (user_id, name) VALUES (70000000, 'Neighbour')")
        wait_until(lambda: _in_warehouse(elsewhere, 70000000), "the row is in its own warehouse")
        assert not _in_warehouse(warehouse, 70000000)
    other.run("./check_all_works.py", "--no-batch", "--json")


def test_data_survives_a_stop_and_a_start(other: Stack) -> None:
    with _connections(other.settings) as (source, warehouse):
        source.execute("INSERT INTO users (user_id, name) VALUES (60000000, 'Survivor')")
        wait_until(lambda: _in_warehouse(warehouse, 60000000), "the row is in the warehouse")
    other.down()
    assert {one["state"] for one in other.status()["services"]} == {"stopped"}
    other.up()
    with _connections(other.settings) as (source, warehouse):
        assert _in_warehouse(warehouse, 60000000)
        source.execute("DELETE FROM users WHERE user_id = 60000000")
        wait_until(lambda: not _in_warehouse(warehouse, 60000000), "the deletion is in the warehouse")


@contextmanager
def _connections(settings: Settings) -> Iterator[tuple[psycopg.Connection, Client]]:
    """Connections of this test's own: the stack is stopped in between."""
    with open_postgres(settings) as source:
        yield source, open_warehouse(settings)


def _in_warehouse(warehouse: Client, user_id: int) -> bool:
    query = "SELECT count() FROM raw.users FINAL WHERE user_id = {id:Int64} AND NOT _deleted"
    return bool(int(str(warehouse.command(query, parameters={"id": user_id}))))


def _count_users(source: psycopg.Connection) -> int:
    row = source.execute("SELECT count(*) FROM users").fetchone()
    assert row is not None
    return int(row[0])
