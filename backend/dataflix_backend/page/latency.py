"""Measure how long the newest changes took through the pipeline, and how many changes pass in a second.

The times are from the commit in PostgreSQL to Debezium, to the masker, and to ClickHouse. The masked topics
have the first two, ClickHouse has the third; nothing that holds personal data is read. The servers' clocks
are taken to agree. The rate comes from two readings of the masker's counters.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Annotated

from confluent_kafka import Message, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from dataflix_backend.schemas import Moment, Reply
from dataflix_clients import masker
from dataflix_clients.clickhouse_http import read_rows
from dataflix_clients.kafka import open_consumer, read_to_end
from dataflix_contract import Settings, Table, tables

#: How many changes are read from each partition, and how many of the newest of all these are measured at
#: most; changes that are much older than the newest one are left out.
_EACH_PARTITION = 8
_MOST_CHANGES = 50
_WINDOW_MICROSECONDS = 60_000_000
_SECONDS = 3.0
#: librdkafka's offset for "so many records before the end" is this number less so many
#: (``RD_KAFKA_OFFSET_TAIL``).
_TAIL = -2000
_EVENTS = "masker_events"
#: The least and the most time between two readings; an average over a longer time does not show the present.
_LEAST_SECONDS = 0.5
_MOST_SECONDS = 15.0

Milliseconds = Annotated[float, Field(description="Milliseconds from the commit in PostgreSQL; a median.")]


@dataclass(frozen=True, slots=True)
class Change:
    """A change's times, in microseconds since the epoch, and the key and version to find it in ClickHouse."""

    table: str
    key: tuple[int, ...]
    version: int
    committed: int
    captured: int
    masked: int


class StageTimes(Reply):
    """How long the newest changes took to each stage."""

    captured_ms: Milliseconds
    masked_ms: Milliseconds
    queryable_ms: Milliseconds | None = Field(
        description="Until ClickHouse took the row in; its insert ends 0.1 s later at most."
    )
    at: Moment = Field(description="When the newest of these changes was committed.")
    changes: int = Field(description="How many changes these are the medians of.")


def stages(settings: Settings) -> StageTimes | None:
    """Measure the newest changes; None if the topics hold no change.

    Raises:
        confluent_kafka.KafkaException: Kafka does not answer.
        httpx.HTTPError: ClickHouse does not answer.
    """
    changes = newest(_masked(settings))
    return summarise(changes, _ingested(settings, changes)) if changes else None


def newest(changes: Iterable[Change]) -> list[Change]:
    """The newest changes, without those that are more than a minute older than the newest one."""
    found = sorted(changes, key=lambda one: one.masked, reverse=True)[:_MOST_CHANGES]
    return [one for one in found if one.masked >= found[0].masked - _WINDOW_MICROSECONDS]


def summarise(changes: list[Change], ingested: Mapping[tuple[str, int], int]) -> StageTimes:
    """Medians over the changes; ``ingested`` has the times of arrival in ClickHouse, by table and version."""
    arrived = [
        ingested[one.table, one.version] - one.committed
        for one in changes
        if (one.table, one.version) in ingested
    ]
    return StageTimes(
        captured_ms=_ms([one.captured - one.committed for one in changes]),
        masked_ms=_ms([one.masked - one.committed for one in changes]),
        queryable_ms=_ms(arrived) if arrived else None,
        at=datetime.fromtimestamp(max(one.committed for one in changes) / 1e6, UTC),
        changes=len(changes),
    )


def read_change(table: Table, key: bytes, value: bytes, masked: int) -> Change | None:
    """A masked record as a change; None for a snapshot's record, which has no commit, and for a TRUNCATE."""
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
    # the version identifies a change; the key's columns are added so that ClickHouse uses its index
    conditions = [f"{column} IN {{{column}:Array({kind})}}" for column, (kind, _) in wanted.items()]
    query = (
        "SELECT _version, max(toUnixTimestamp64Micro(toDateTime64(_ingested_at, 6))) AS ingested"
        f" FROM raw.{table.name} WHERE {' AND '.join(conditions)} GROUP BY _version"
    )
    values = {column: list(some) for column, (_, some) in wanted.items()}
    return [(row["_version"], row["ingested"]) for row in read_rows(settings, query, values)]


@dataclass(frozen=True, slots=True)
class Reading:
    """The sum of all maskers' counts of messages, and when it was read, by this process's monotonic clock."""

    at: float
    events: float


class Rate:
    """Measures events a second since the last call; the first call measures over half a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: Reading | None = None

    def __call__(self, settings: Settings) -> float:
        """Read the counters and compare them with the last reading.

        Raises:
            httpx.HTTPError: a masker does not answer.
        """
        if self._before is None or self._clock() - self._before.at > _MOST_SECONDS:
            self._before = self._read(settings)
        if (missing := self._before.at + _LEAST_SECONDS - self._clock()) > 0:
            time.sleep(missing)
        now = self._read(settings)
        before, self._before = self._before, now
        return between(before, now)

    def _read(self, settings: Settings) -> Reading:
        pages = masker.read_metrics(settings)
        return Reading(self._clock(), sum(map(events_of, pages.values())))


def between(before: Reading, now: Reading) -> float:
    """Events a second between two readings; 0 if the sum fell, since a restarted masker counts from zero."""
    events = now.events - before.events
    return max(events, 0.0) / (now.at - before.at)


def events_of(page: str) -> float:
    """How many messages a masker has read, from its page of metrics."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        if family.name == _EVENTS
        for sample in family.samples
        if sample.name == f"{_EVENTS}_total"
    )
