"""What a person does: start again, stop and start, collide with another stack, check, trace."""

import json
import os
import signal
import subprocess
from typing import Any

import psycopg
import pytest

from dataflix_contract.settings import ENV_PREFIX
from support.stack import Stack
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
    done = stack.run("./check_all_works.py", "--no-batch", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert done.stderr.splitlines() == [f"{one['check']}: ok" for one in report["checks"]]
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
        "api: film dismissed",
    ]
    for one in followed:
        assert list(one["milliseconds"]) == ["captured", "masked", "queryable"]
    assert _count_users(source) == people


def test_a_checker_that_is_stopped_leaves_nothing(stack: Stack, source: psycopg.Connection) -> None:
    people = _count_users(source)
    environment = os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file)}
    command = [str(stack.root / "check_all_works.py"), "--no-batch", "--json"]
    checker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _count_users(source) > people, "the canary is there", every=0.01)
        checker.terminate()
        assert checker.wait(60) == 128 + signal.SIGTERM
    finally:
        checker.kill()
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


def _count_users(source: psycopg.Connection) -> int:
    row = source.execute("SELECT count(*) FROM users").fetchone()
    assert row is not None
    return int(row[0])
