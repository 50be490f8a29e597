"""How long the newest changes took: from the commit to Debezium, through the masker, into ClickHouse.

The masked topics have the times of the first two stages, ClickHouse has the third: nothing that holds
personal data is read. The servers share a clock.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflix_checker.probes import http
from dataflix_contract import Settings, Table, tables

#: Looked at: the newest of each partition, and of these the newest together that are not much older.
_EACH_PARTITION = 8
_MOST_CHANGES = 50
_WINDOW_MICROSECONDS = 60_000_000
_SECONDS = 3.0
#: librdkafka's way to say "so many before the end" (``RD_KAFKA_OFFSET_TAIL``).
_TAIL = -2000


@dataclass(frozen=True, slots=True)
class Change:
    """A change's times, in microseconds since the epoch, and how it is found in ClickHouse."""

    table: str
    key: tuple[int, ...]
    version: int
    committed: int
    captured: int
    masked: int


@dataclass(frozen=True, slots=True)
class Stages:
    """Medians over the newest changes, in milliseconds from the commit.

    Attributes:
        queryable_ms: until ClickHouse took the row in; None: not yet, or newer changes are there.
        at: when the newest of them was committed.
        changes: how many were looked at.
    """

    captured_ms: float
    masked_ms: float
    queryable_ms: float | None
    at: datetime
    changes: int


def stages(settings: Settings) -> Stages | None:
    """Measure; None when no change has passed that the topics still hold.

    Raises:
        confluent_kafka.KafkaException: Kafka is away.
        httpx.HTTPError: ClickHouse is away.
    """
    changes = newest(_masked(settings))
    return summarise(changes, _ingested(settings, changes)) if changes else None


def newest(changes: Iterable[Change]) -> list[Change]:
    """The newest changes, as long as they are of about the same time."""
    found = sorted(changes, key=lambda one: one.masked, reverse=True)[:_MOST_CHANGES]
    return [one for one in found if one.masked >= found[0].masked - _WINDOW_MICROSECONDS]


def summarise(changes: list[Change], ingested: Mapping[tuple[str, int], int]) -> Stages:
    """Medians of the stages of some changes; ``ingested`` has the moments by table and version."""
    arrived = [
        ingested[one.table, one.version] - one.committed
        for one in changes
        if (one.table, one.version) in ingested
    ]
    return Stages(
        captured_ms=_ms([one.captured - one.committed for one in changes]),
        masked_ms=_ms([one.masked - one.committed for one in changes]),
        queryable_ms=_ms(arrived) if arrived else None,
        at=datetime.fromtimestamp(max(one.committed for one in changes) / 1e6, UTC),
        changes=len(changes),
    )


def read_change(table: Table, key: bytes, value: bytes, masked: int) -> Change | None:
    """A masked record as a change; None: it is of a snapshot, which has no commit, or of no row."""
    change = json.loads(value)
    source = change["source"]
    if source["snapshot"] != "false" or change["op"] == "t":
        return None
    row = json.loads(key)
    return Change(
        table.name,
        tuple(int(row[column]) for column in table.key),
        change["version"],
        source["ts_us"],
        change["ts_us"],
        masked,
    )


def _ms(microseconds: list[int]) -> float:
    return round(median(microseconds) / 1000, 1)


def _masked(settings: Settings) -> Iterator[Change]:
    """The changes at the ends of the masked topics."""
    topics = {table.masked_topic: table for table in tables().values()}
    for message in _tails(settings, list(topics)):
        table = topics[str(message.topic())]
        change = read_change(
            table, message.key() or b"", message.value() or b"", message.timestamp()[1] * 1000
        )
        if change is not None:
            yield change


def _tails(settings: Settings, topics: list[str]) -> list[Message]:
    consumer = Consumer(
        settings.kafka_client
        | {
            "group.id": "dataflix-backend",  # obligatory, and never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        known = consumer.list_topics(timeout=_SECONDS).topics
        ends = [
            TopicPartition(topic, partition, _TAIL - _EACH_PARTITION)
            for topic in topics
            if topic in known
            for partition in known[topic].partitions
        ]
        consumer.assign(ends)
        return list(_until_all_ended(consumer, len(ends)))
    finally:
        consumer.close()


def _until_all_ended(consumer: Consumer, open_ones: int) -> Iterator[Message]:
    """What the assigned partitions hold, until each has ended.

    Raises:
        LookupError: they did not in time.
    """
    deadline = time.monotonic() + _SECONDS
    while open_ones:
        if time.monotonic() > deadline:
            raise LookupError("the ends of the masked topics were not read in time")
        for message in consumer.consume(open_ones * _EACH_PARTITION, timeout=0.1):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                open_ones -= 1
            else:
                raise KafkaException(error)


def _ingested(settings: Settings, changes: list[Change]) -> dict[tuple[str, int], int]:
    """When ClickHouse took these changes in, in microseconds since the epoch, by table and version."""
    of_table = defaultdict(list)
    for change in changes:
        of_table[change.table].append(change)
    return {
        (name, version): at
        for name, some in of_table.items()
        for version, at in _ask_warehouse(settings, tables()[name], some)
    }


def _ask_warehouse(settings: Settings, table: Table, changes: list[Change]) -> list[list[int]]:
    wanted = {"_version": ("UInt64", {change.version for change in changes})}
    for place, column in enumerate(table.key):
        wanted[column] = (table.columns[column].clickhouse_type, {change.key[place] for change in changes})
    # the key's columns are there for the index: a version is enough to know a change
    conditions = [f"{column} IN {{{column}:Array({kind})}}" for column, (kind, _) in wanted.items()]
    query = (
        "SELECT _version, max(toUnixTimestamp64Micro(toDateTime64(_ingested_at, 6)))"
        f" FROM raw.{table.name} WHERE {' AND '.join(conditions)} GROUP BY _version"
        " FORMAT JSONCompact SETTINGS output_format_json_quote_64bit_integers = 0"
    )
    answer = http.post(
        f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}",
        content=query,
        params={f"param_{column}": json.dumps(list(values)) for column, (_, values) in wanted.items()},
        headers={
            "X-ClickHouse-User": settings.clickhouse_user,
            "X-ClickHouse-Key": settings.clickhouse_password.get_secret_value(),
        },
    )
    rows: list[list[Any]] = answer.raise_for_status().json()["data"]
    return rows
