"""Messages as Debezium writes them, put into the raw topics by hand; what the masker makes of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from dataflix_contract import Settings, tables

#: Far from every id that PostgreSQL gives, so that these rows meet no real ones.
FIRST_ID = 1 << 60


class Received(NamedTuple):
    """What a masked topic, the dead letters or the drift notices say."""

    key: bytes
    value: bytes


Read = Callable[[float], list[Received]]

_NOW = "2026-01-31T10:00:00.123456Z"


def deletion(table: str, number: int, **values: Any) -> tuple[bytes, bytes]:
    """Key and value of a delete: a change that leaves no row behind in the warehouse."""
    rows: dict[str, dict[str, Any]] = {
        "users": {
            "user_id": number,
            "name": "Anna",
            "email": "anna@example.org",
            "birth_year": 1980,
            "city": None,
            "state": None,
            "created_at": _NOW,
            "updated_at": _NOW,
        },
        "ratings": {
            "user_id": number,
            "movie_id": 1,
            "rating": "4.5",
            "rated_at": _NOW,
            "updated_at": _NOW,
        },
    }
    row = rows[table]
    key = {name: row[name] for name in tables()[table].key}
    source = {"table": table, "lsn": 1, "txId": None, "ts_us": time.time_ns() // 1000, "snapshot": "false"}
    value = {"op": "d", "before": row | values, "after": None, "source": source, "ts_us": 1}
    return orjson.dumps(key), orjson.dumps(value)


def open_producer(settings: Settings) -> Producer:
    """A producer that can send what a broken source would."""
    return Producer({"bootstrap.servers": settings.kafka_bootstrap, "message.max.bytes": 4_000_000})


@contextmanager
def reading(settings: Settings, topic: str) -> Iterator[Read]:
    """What arrives in a topic from now on: a function that waits so many seconds for more.

    Of the masked rows only those of tests: the stack's own sample data may still be on its way.
    """
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": "tests", "enable.auto.commit": False}
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = [
        TopicPartition(topic, number, consumer.get_watermark_offsets(TopicPartition(topic, number))[1])
        for number in partitions
    ]
    consumer.assign(ends)
    try:
        yield lambda seconds: [
            Received(message.key() or b"", message.value() or b"")
            for message in consumer.consume(10_000, seconds)
            if _is_of_a_test(message)
        ]
    finally:
        consumer.close()


def letters(messages: list[Received]) -> list[dict[str, Any]]:
    """The dead letters among what their topic holds."""
    found = [orjson.loads(message.value) for message in messages]
    return [letter for letter in found if "reason" in letter]


def _is_of_a_test(message: Message) -> bool:
    masked = (message.topic() or "").startswith("masked.")
    return not masked or orjson.loads(message.key() or b"{}").get("user_id", 0) >= FIRST_ID


def read_until(more: Read, enough: Callable[[list[Received]], Any], seconds: float = 60) -> list[Received]:
    """Everything that arrives until it is enough.

    Raises:
        AssertionError: it is not enough in time.
    """
    arrived: list[Received] = []
    deadline = time.monotonic() + seconds
    while not enough(arrived):
        assert time.monotonic() < deadline, f"only {len(arrived)} messages in {seconds} s"
        arrived += more(0.2)
    return arrived
