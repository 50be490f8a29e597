"""The topics at one moment: which are missing or silent, and how far their readers are."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import OffsetSpec

from dataflix_clients.kafka import (
    Partition,
    admin_client,
    away,
    behind,
    read_bounds,
    read_committed,
    read_offsets,
)
from dataflix_contract import Settings, tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, MASKER_GROUP, captured_topics

#: Who looks wants to know now.
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class CaptureTopics:
    """The topics that Debezium writes to.

    Attributes:
        missing: those that do not exist.
        silent_s: seconds since anything was written to any of them; nothing where they hold no record.
    """

    missing: tuple[str, ...]
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic: how large it is, and how far its reader has come.

    Attributes:
        records: those that it keeps, by its offsets; compaction may have taken some of them.
        reader: the consumer group of the pipeline that reads it; empty: none does.
        lag: records that the reader has not processed.
    """

    name: str
    partitions: int
    records: int
    reader: str
    lag: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies in Kafka: records not yet processed, by consumer group, and dead letters."""

    lag: dict[str, int]
    dead_letters: int


def read_capture_topics(settings: Settings, timeout_s: float = _SECONDS) -> CaptureTopics:
    """Look at the topics that Debezium writes to, without reading any record.

    Raises:
        Fault: Kafka does not answer.
    """
    admin = admin_client(settings)
    wanted = captured_topics()
    try:
        present = admin.list_topics(timeout=timeout_s).topics
        partitions: list[Partition] = [
            (name, number) for name in wanted if name in present for number in present[name].partitions
        ]
        newest: OffsetSpec = OffsetSpec.max_timestamp()
        found = read_offsets(admin, partitions, newest, timeout_s).values()
    except KafkaException as error:
        raise away(settings, error) from error
    missing = tuple(name for name in wanted if name not in present)
    written = [place.timestamp for place in found if place.timestamp > 0]
    return CaptureTopics(missing, max(0.0, time.time() - max(written) / 1000) if written else None)


def read_topics(settings: Settings, wanted: Collection[str] | None = None) -> list[TopicState]:
    """Look at the topics, in the order of their names; at all but Kafka's own, or the wanted ones.

    Raises:
        KafkaException: Kafka does not answer.
        Fault: it has stopped to answer, or a topic has just been deleted.
    """
    admin = admin_client(settings)
    there = admin.list_topics(timeout=_SECONDS).topics
    names = [name for name in there if (name in wanted if wanted is not None else not name.startswith("__"))]
    bounds = read_bounds(admin, names, _SECONDS)
    readers = readers_of_topics()
    read: dict[str, list[Partition]] = defaultdict(list)
    for partition in bounds:
        read[readers.get(partition[0], "")].append(partition)
    committed: dict[Partition, int] = {}
    for group, partitions in read.items():
        if group:
            committed |= read_committed(admin, group, partitions, _SECONDS)
    states = []
    for name in sorted(names):
        own = {partition: bound for partition, bound in bounds.items() if partition[0] == name}
        reader = readers.get(name, "")
        records = sum(bound.records for bound in own.values())
        states.append(TopicState(name, len(own), records, reader, behind(own, committed) if reader else 0))
    return states


def read_backlog(settings: Settings) -> Backlog:
    """Count what waits in the topics.

    Raises:
        KafkaException: Kafka does not answer.
        Fault: it has stopped to answer.
    """
    readers = readers_of_topics()
    states = {state.name: state for state in read_topics(settings, {*readers, DEAD_LETTER_TOPIC})}
    lag = dict.fromkeys(readers.values(), 0)
    for state in states.values():
        if state.reader:
            lag[state.reader] += state.lag
    dead = states.get(DEAD_LETTER_TOPIC)
    return Backlog(lag, dead.records if dead else 0)


def readers_of_topics() -> dict[str, str]:
    """The consumer group of each topic that has one: the masker's, or that of a warehouse's table."""
    raw = {table.raw_topic: MASKER_GROUP for table in tables().values()}
    return raw | {table.masked_topic: table.warehouse_group for table in tables().values()}
