"""A lost slot is noticed and repaired, and no snapshot overtakes a transaction that is open."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Message, TopicPartition

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.fence import take_fence
from dataflix_clients.preflight import judge_source
from dataflix_clients.replication_slot import read_slot
from dataflix_clients.source_facts import read_facts
from dataflix_connectors.registration import drop_slot, render_config, wait_until_streaming
from dataflix_contract import Settings, tables
from dataflix_contract.schema import FENCE_HEADER
from support.equality import differences
from support.stack import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.disruptive

CONNECTOR = "bin/dataflix-connector"


def add_user(source: psycopg.Connection, name: str) -> int:
    row = source.execute("INSERT INTO users (name) VALUES (%s) RETURNING user_id", [name]).fetchone()
    assert row is not None
    return int(row[0])


def live_users(warehouse: Client) -> set[int]:
    return {row[0] for row in warehouse.query("SELECT user_id FROM raw.users FINAL").result_rows}


def test_a_lost_slot_is_noticed_and_repaired(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    deleted, changed = add_user(source, "deleted unseen"), add_user(source, "changed unseen")
    wait_until(lambda: {deleted, changed} <= live_users(warehouse), "both users are in the warehouse")
    with ConnectClient(settings) as connect, postgres.connect(settings, settings.postgres_admin) as admin:
        connect.stop()
        drop_slot(admin)
        source.execute("DELETE FROM users WHERE user_id = %s", [deleted])
        source.execute("UPDATE users SET city = 'Elsewhere' WHERE user_id = %s", [changed])
        added = add_user(source, "added unseen")
        connect.resume()

    status = stack.run(CONNECTOR, "status", check=False)
    assert status.returncode == 1
    assert "dataflix-connector resnapshot" in status.stderr
    refused = stack.run(CONNECTOR, "register", check=False)
    assert refused.returncode == 1
    assert "dataflix-connector resnapshot" in refused.stderr
    with postgres.connect(settings, settings.postgres_debezium) as connection:
        assert read_slot(connection) is None, "nobody may quietly go on with a new slot and a gap"

    repaired = stack.run(CONNECTOR, "resnapshot", "--yes")
    assert "users: 1 ghosts removed" in repaired.stdout
    wait_until(lambda: added in live_users(warehouse), "the new user is in the warehouse")
    assert deleted not in live_users(warehouse)
    assert differences(source, warehouse, settings) == []
    stack.run(CONNECTOR, "status")


def test_a_publication_made_anew_after_changes_that_wait_needs_a_resnapshot_and_says_so(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    with ConnectClient(settings) as connect, postgres.connect(settings, settings.postgres_admin) as admin:
        connect.stop()
        source.execute("DROP PUBLICATION dataflix")
        added = add_user(source, "written without the publication")
        findings = judge_source(read_facts(admin, settings), settings)
        [told] = [finding.cure for finding in findings if finding.subject == "publication dataflix"]
        _, statement = told.split(", as the owner of the tables: ")
        source.execute(statement[: statement.index(", then run")].encode())
        connect.resume()

    refused = stack.run(CONNECTOR, "register", "--timeout", "60", check=False)
    assert refused.returncode == 1
    assert "publication dataflix was made after changes that wait" in refused.stderr
    assert "dataflix-connector resnapshot" in refused.stderr

    stack.run(CONNECTOR, "resnapshot", "--yes")
    wait_until(lambda: added in live_users(warehouse), "the new user is in the warehouse")
    assert differences(source, warehouse, settings) == []
    stack.run(CONNECTOR, "status")


def test_a_resnapshot_of_a_sound_stream_finds_no_ghosts(stack: Stack) -> None:
    told = stack.run(CONNECTOR, "resnapshot", "--yes").stdout
    assert told.count(": 0 ghosts removed") == len(tables())


def test_a_transaction_that_does_not_end_is_named_and_the_stream_goes_on(
    stack: Stack, settings: Settings
) -> None:
    with postgres.connect(settings, settings.postgres_owner) as other, other.transaction():
        other.execute("UPDATE users SET city = city WHERE user_id = 1")
        refused = stack.run(CONNECTOR, "resnapshot", "--yes", "--fence-timeout", "2", check=False)
        assert refused.returncode == 1
        assert f"pid {other.info.backend_pid}" in refused.stderr
        assert "UPDATE" not in refused.stderr
        stack.run(CONNECTOR, "status")


def test_a_change_that_the_snapshot_did_not_see_is_newer_than_its_row(
    settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    """A transaction changes a row while Debezium's slot is being made, and commits after the snapshot.

    The change's position is below the snapshot's: only the fence makes the change win. A slot waits
    twice for open transactions; who begins during the second wait is not in the snapshot.
    """
    user = add_user(source, "changed across the snapshot")
    touch, change = "UPDATE users SET city = city WHERE user_id = 1", "UPDATE users SET city = 'Across'"
    with postgres.connect(settings, settings.postgres_admin) as admin, ConnectClient(settings) as connect:
        connect.stop()
        connect.delete_offsets()
        drop_slot(admin)
        fence = take_fence(admin, 30)
        connect.put_config(render_config(settings, fence))
        with transaction(settings, touch) as first:
            connect.resume()
            wait_until(lambda: slot_waits_for(admin, first), "the slot waits for the first transaction")
            with transaction(settings, touch.replace("= 1", "= 2")) as second:
                first.commit()
                wait_until(lambda: slot_waits_for(admin, second), "the slot waits for the second one")
                with transaction(settings, f"{change} WHERE user_id = {user}") as third:
                    second.commit()
                    wait_until(lambda: snapshot_row(settings, user, fence), "the snapshot's row is captured")
                    third.commit()
        with postgres.connect(settings, settings.postgres_debezium) as connection:
            wait_until_streaming(connection, connect, 60, lambda _line: None)

    row = snapshot_row(settings, user, fence)
    assert row is not None
    assert row["after"]["city"] is None, "the snapshot did not see the change"
    update = next(change for _, change in records_of(settings, user) if change["op"] == "u")
    assert fence < update["source"]["lsn"], "the fence is below the change"
    assert update["source"]["lsn"] < row["source"]["lsn"], "the snapshot's own position is above it"
    query = f"SELECT city FROM raw.users FINAL WHERE user_id = {user}"
    wait_until(lambda: warehouse.query(query).result_rows == [("Across",)], "the change wins")
    assert differences(source, warehouse, settings) == []


@contextmanager
def transaction(settings: Settings, statement: str) -> Iterator[psycopg.Connection]:
    """A transaction that has changed something and is left open."""
    with postgres.connect(settings, settings.postgres_owner) as connection:
        connection.autocommit = False
        connection.execute(statement.encode())
        yield connection


def slot_waits_for(admin: psycopg.Connection, holder: psycopg.Connection) -> bool:
    """Whether the process that makes a slot waits for the holder's transaction to end."""
    query = (
        "SELECT FROM pg_stat_activity WHERE backend_type = 'walsender' AND %s = ANY(pg_blocking_pids(pid))"
    )
    return admin.execute(query, [holder.info.backend_pid]).fetchone() is not None


def snapshot_row(settings: Settings, user: int, fence: int) -> dict[str, Any] | None:
    wanted = (FENCE_HEADER, str(fence).encode())
    rows = [
        change for headers, change in records_of(settings, user) if wanted in headers and change["op"] == "r"
    ]
    return rows[0] if rows else None


def records_of(settings: Settings, user: int) -> list[tuple[list[tuple[str, bytes]], dict[str, Any]]]:
    """Headers and envelope of every record of the user in the raw topic, oldest first."""
    key = json.dumps({"user_id": user}, separators=(",", ":")).encode()
    return [
        (message.headers() or [], json.loads(message.value() or b"null"))
        for message in all_records(settings, "cdc.public.users")
        if message.key() == key
    ]


def all_records(settings: Settings, topic: str) -> Iterator[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "test-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        ended = 0
        while ended < len(partitions):
            message = consumer.poll(10)
            assert message is not None, "Kafka does not answer"
            if message.error():
                ended += 1
            else:
                yield message
    finally:
        consumer.close()
