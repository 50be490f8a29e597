"""How long the newest changes took: from the commit to Debezium, through the masker, into ClickHouse.

The masked topics have the times of the first two stages, ClickHouse has the third: nothing that holds
personal data is read. The servers share a clock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from confluent_kafka import Message, TopicPartition

from dataflix_clients.clickhouse_http import read_rows
from dataflix_clients.kafka import open_consumer, read_to_end
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
    consumer = open_consumer(settings, "dataflix-backend")
    try:
        known = consumer.list_topics(timeout=_SECONDS).topics
        starts = [
            TopicPartition(topic, partition, _TAIL - _EACH_PARTITION)
            for topic in topics
            if topic in known
            for partition in known[topic].partitions
        ]
        return list(read_to_end(consumer, starts, _SECONDS))
    finally:
        consumer.close()


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


def _ask_warehouse(settings: Settings, table: Table, changes: list[Change]) -> list[tuple[int, int]]:
    wanted = {"_version": ("UInt64", {change.version for change in changes})}
    for place, column in enumerate(table.key):
        wanted[column] = (table.columns[column].clickhouse_type, {change.key[place] for change in changes})
    # the key's columns are there for the index: a version is enough to know a change
    conditions = [f"{column} IN {{{column}:Array({kind})}}" for column, (kind, _) in wanted.items()]
    query = (
        "SELECT _version, max(toUnixTimestamp64Micro(toDateTime64(_ingested_at, 6))) AS ingested"
        f" FROM raw.{table.name} WHERE {' AND '.join(conditions)} GROUP BY _version"
    )
    values = {column: list(some) for column, (_, some) in wanted.items()}
    return [(row["_version"], row["ingested"]) for row in read_rows(settings, query, values)]
