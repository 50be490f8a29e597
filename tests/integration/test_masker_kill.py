"""A masker that is killed at work, or stopped, loses nothing."""

import time

import orjson
import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clients.kafka import read_backlog
from dataflix_contract import Settings
from dataflix_contract.schema import MASKER_GROUP
from support.raw import FIRST_ID, Received, deletion, open_producer, read_until, reading
from support.stack import Stack
from support.waiting import wait_until

EVENTS = 20_000
KILLS = 3
#: Of one transaction: more than what Debezium's queue, a poll and a block of ClickHouse hold.
ROWS = 400_000

pytestmark = pytest.mark.disruptive


def ids(messages: list[Received]) -> set[int]:
    """The users of the masked deletes."""
    return {orjson.loads(message.key)["user_id"] for message in messages}


def test_every_event_arrives_though_the_masker_is_killed(stack: Stack, settings: Settings) -> None:
    expected = {FIRST_ID + number for number in range(EVENTS)}
    producer = open_producer(settings)
    with reading(settings, "masked.ratings") as masked:
        for number in range(EVENTS):
            key, value = deletion("ratings", FIRST_ID + number)
            producer.produce("cdc.public.ratings", value, key)
            if number % (EVENTS // KILLS) == EVENTS // KILLS // 2:
                producer.flush()
                time.sleep(0.05)
                stack.kill("masker-0")
        producer.flush()
        arrived = read_until(
            masked, lambda found: len(found) >= EVENTS and ids(found) >= expected, seconds=240
        )
    assert ids(arrived) >= expected


def test_one_large_transaction_while_the_masker_is_stopped_arrives_whole(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    first, last = 1 << 41, (1 << 41) + ROWS - 1
    here = (
        f"SELECT uniqExact(user_id) FROM raw.users WHERE user_id BETWEEN {first} AND {last} AND NOT _deleted"
    )
    stack.run("bin/dataflix-stack", "stop", "masker-0")
    try:
        source.execute("INSERT INTO users (user_id) SELECT generate_series(%s::bigint, %s)", [first, last])
        wait_until(
            lambda: read_backlog(settings).lag[MASKER_GROUP] >= ROWS, "the raw topic holds all of it", 240
        )
        assert warehouse.command(here) == 0
    finally:
        stack.run("bin/dataflix-stack", "start", "masker-0")
    wait_until(lambda: warehouse.command(here) == ROWS, "every row has come", 240)
    source.execute("DELETE FROM users WHERE user_id BETWEEN %s AND %s", [first, last])
