"""The connector on a running stack: what is repeated changes nothing, what is idle holds nothing."""

import json
import time

import httpx
import psycopg

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.replication_slot import read_slot, read_wal_position
from dataflix_connectors.registration import fence_of
from dataflix_contract import Settings, tables
from support.stack import Stack
from support.waiting import wait_until

CONNECTOR = "bin/dataflix-connector"


def test_registering_again_changes_nothing_and_is_quick(stack: Stack, settings: Settings) -> None:
    with ConnectClient(settings) as connect:
        before = connect.config()
        began = time.monotonic()
        stack.run(CONNECTOR, "register")
        assert time.monotonic() - began < 30  # about two seconds on an idle machine
        assert connect.config() == before
    assert before is not None
    assert fence_of(before) > 0


def test_topics_again_changes_nothing(stack: Stack) -> None:
    lines = stack.run(CONNECTOR, "topics").stdout.splitlines()[1:]
    assert len(lines) == 2 * len(tables()) + 5  # raw and masked ones, and those that are for all tables
    assert all("as it should be" in line for line in lines)


def test_status_of_a_sound_capture(stack: Stack) -> None:
    answer = json.loads(stack.run(CONNECTOR, "status", "--json").stdout)
    assert answer["healthy"]
    assert answer["slot"]["state"] == "streaming"
    assert answer["slot"]["lag_bytes"] < 1_000_000


def test_the_rest_interface_does_not_tell_the_password(settings: Settings) -> None:
    answer = httpx.get(f"{settings.connect_url}/connectors/dataflix-postgres", trust_env=False)
    assert answer.json()["config"]["database.password"] == "${env:DATAFLIX_DEBEZIUM_PASSWORD}"


def test_wal_of_tables_that_are_not_captured_is_let_go(
    settings: Settings, source: psycopg.Connection
) -> None:
    """Without the heartbeat, the slot would stay where the last captured change was."""
    source.execute("CREATE TABLE scratch AS SELECT n, repeat('x', 200) FROM generate_series(1, 20000) n")
    source.execute("DROP TABLE scratch")
    with postgres.connect(settings, settings.postgres_debezium) as connection:
        position = read_wal_position(connection)

        def confirmed() -> bool:
            slot = read_slot(connection)
            return slot is not None and (slot.confirmed_lsn or 0) >= position

        wait_until(confirmed, "the heartbeat moves the slot past foreign WAL", seconds=120)
