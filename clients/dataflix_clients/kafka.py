"""Kafka: log in, read topics to their end, look at topics and their readers, and explain errors.

A look at the topics shows which are missing or silent at that moment, and how far their readers are.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault, cannot_use
from dataflix_contract.schema import DEAD_LETTER_TOPIC, MASKER_GROUP, captured_topics

T = TypeVar("T")

_TIMEOUT_S = 20.0
_POLL_S = 0.5
#: How long an answer may take: whoever looks at a status does not want to wait.
_LOOK_S = 3.0
_BATCH = 1000

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """First and next offset of a partition."""

    first: int
    next: int

    @property
    def records(self) -> int:
        """How many records it keeps, by its offsets; compaction may have taken some of them."""
        return self.next - self.first


def admin_client(settings: Settings) -> AdminClient:
    """A client that gives up within seconds and does not chatter on stderr."""
    return AdminClient(settings.kafka_client | {"log_level": 0})


def open_consumer(settings: Settings, group: str) -> Consumer:
    """A consumer for partitions that are assigned by hand; it neither commits offsets nor joins its group.

    Args:
        settings: where Kafka is, and the login where it asks for one.
        group: the program's name, to which Kafka's access rules give its rights.
    """
    return Consumer(
        settings.kafka_client
        | {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "socket.timeout.ms": 10_000,
            "log_level": 0,  # errors are raised as exceptions
        }
    )


def check(settings: Settings) -> None:
    """Check that the broker hands out metadata and knows its controller.

    Raises:
        KafkaException: it does not answer.
        LookupError: it knows no controller yet.
    """
    if admin_client(settings).list_topics(timeout=_LOOK_S).controller_id < 0:
        raise LookupError("no controller yet")


def unreachable(settings: Settings, error: KafkaException) -> Fault:
    """What to tell people when Kafka does not answer."""
    return Fault(cannot_use("Kafka", settings.kafka_bootstrap, reason(error)))


def reason(error: KafkaException) -> str:
    """The error in words."""
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)


def result_of(future: Future[T], timeout_s: float = _TIMEOUT_S) -> T:
    """Wait for the answer to a request.

    Raises:
        KafkaException: Kafka refuses, or does not answer in time.
    """
    try:
        return future.result(timeout_s)
    except TimeoutError:  # librdkafka's own timeout for the request may come later
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001 - its public name


def read_bounds(
    admin: AdminClient, topics: Collection[str], timeout_s: float = _TIMEOUT_S
) -> dict[Partition, Bounds]:
    """The bounds of every partition of the topics.

    Raises:
        Fault: Kafka does not answer, or has no such topic.
    """
    try:
        metadata = admin.list_topics(timeout=timeout_s).topics
        if missing := [topic for topic in topics if topic not in metadata]:
            raise Fault(f"Kafka has no topic {', '.join(missing)}: run dataflix-connector topics")
        partitions = [(topic, number) for topic in topics for number in metadata[topic].partitions]
        first = read_offsets(admin, partitions, OffsetSpec.earliest(), timeout_s)
        last = read_offsets(admin, partitions, OffsetSpec.latest(), timeout_s)
    except KafkaException as error:
        raise Fault(f"Kafka does not say how long its topics are: {reason(error)}") from error
    return {one: Bounds(first[one].offset, last[one].offset) for one in partitions}


def read_offsets(
    admin: AdminClient, partitions: Collection[Partition], spec: OffsetSpec, timeout_s: float = _TIMEOUT_S
) -> dict[Partition, Any]:
    """The ``offset`` and ``timestamp`` of the record that ``spec`` picks in each partition.

    Raises:
        KafkaException: it does not answer.
    """
    if not partitions:
        return {}
    # The library's type hints know neither the result's attributes nor the default arguments.
    futures: dict[TopicPartition, Any] = admin.list_offsets(
        {TopicPartition(*partition): spec for partition in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=timeout_s,
    )
    return {(one.topic, one.partition): result_of(future, timeout_s) for one, future in futures.items()}


def read_committed(
    admin: AdminClient, group: str, partitions: Collection[Partition], timeout_s: float = _TIMEOUT_S
) -> dict[Partition, int]:
    """The offsets that a group has committed; -1001 where it has none.

    Raises:
        Fault: Kafka does not answer.
    """
    if not partitions:
        return {}
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*partition) for partition in partitions])
    try:
        [future] = admin.list_consumer_group_offsets([wanted], request_timeout=timeout_s).values()
        answer = result_of(future, timeout_s)
    except KafkaException as error:
        raise Fault(f"Kafka does not say how far group {group} is: {reason(error)}") from error
    return {(entry.topic, entry.partition): entry.offset for entry in answer.topic_partitions}


def count_lag(bounds: Mapping[Partition, Bounds], committed: Mapping[Partition, int]) -> int:
    """How many messages a group has yet to consume of those within the bounds."""
    return sum(
        max(0, bound.next - max(committed.get(partition, 0), bound.first))
        for partition, bound in bounds.items()
    )


def wait_until_consumed(
    admin: AdminClient,
    group: str,
    bounds: Mapping[Partition, Bounds],
    timeout_s: float,
    report: Callable[[str], None],
) -> None:
    """Wait until the group has committed past the bounds.

    Raises:
        Fault: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while missing := count_lag(bounds, read_committed(admin, group, bounds.keys())):
        if time.monotonic() > deadline:
            raise Fault(f"group {group} is still {missing} messages behind after {timeout_s:.0f} s")
        report(f"waiting for {group}: {missing} messages to go")
        time.sleep(_POLL_S)


def end_positions(consumer: Consumer, topics: Collection[str]) -> Iterator[TopicPartition]:
    """Each partition of ``topics`` with the offset that its next record will have.

    Asking for the offset now, rather than assigning ``OFFSET_END``, makes sure that a
    record written right after this call is seen.
    """
    for topic in topics:
        metadata = consumer.list_topics(topic, timeout=10).topics[topic]
        for partition in metadata.partitions:
            here = TopicPartition(topic, partition, OFFSET_END)
            _, high = consumer.get_watermark_offsets(here, timeout=10)
            yield TopicPartition(topic, partition, high)


def read_to_end(consumer: Consumer, starts: list[TopicPartition], patience_s: float) -> Iterator[Message]:
    """Read from these positions on, until each partition has been read to its end.

    Args:
        consumer: of :func:`open_consumer`; the partitions are assigned to it, and stay so.
        starts: where to begin.
        patience_s: how long to wait for a next message.

    Raises:
        KafkaException: Kafka does not answer, or not in time.
    """
    consumer.assign(starts)
    unread = {(start.topic, start.partition) for start in starts}
    heard = time.monotonic()
    while unread:
        if time.monotonic() - heard > patience_s:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
        for message in consumer.consume(_BATCH, timeout=0.1):
            heard = time.monotonic()
            if is_end(message):
                unread.discard((str(message.topic()), message.partition() or 0))
            else:
                yield message


def is_end(message: Message) -> bool:
    """Whether a message is no record, but says that its partition has been read to its end.

    Raises:
        KafkaException: it says that something went wrong.
    """
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        return True
    raise KafkaException(error)


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


def read_capture_topics(settings: Settings, timeout_s: float = _LOOK_S) -> CaptureTopics:
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
        raise unreachable(settings, error) from error
    missing = tuple(name for name in wanted if name not in present)
    written = [place.timestamp for place in found if place.timestamp > 0]
    return CaptureTopics(missing, max(0.0, time.time() - max(written) / 1000) if written else None)


def read_topics(settings: Settings, wanted: Collection[str] | None = None) -> list[TopicState]:
    """Look at the wanted topics, or at all but Kafka's own, in the order of their names.

    Raises:
        KafkaException: Kafka does not answer.
        Fault: it has stopped answering, or a topic has just been deleted.
    """
    admin = admin_client(settings)
    there = admin.list_topics(timeout=_LOOK_S).topics
    names = [name for name in there if (name in wanted if wanted is not None else not name.startswith("__"))]
    bounds = read_bounds(admin, names, _LOOK_S)
    readers = readers_of_topics()
    read: dict[str, list[Partition]] = defaultdict(list)
    for partition in bounds:
        read[readers.get(partition[0], "")].append(partition)
    committed: dict[Partition, int] = {}
    for group, partitions in read.items():
        if group:
            committed |= read_committed(admin, group, partitions, _LOOK_S)
    states = []
    for name in sorted(names):
        own = {partition: bound for partition, bound in bounds.items() if partition[0] == name}
        reader = readers.get(name, "")
        records = sum(bound.records for bound in own.values())
        states.append(TopicState(name, len(own), records, reader, count_lag(own, committed) if reader else 0))
    return states


def read_backlog(settings: Settings) -> Backlog:
    """Count what waits in the topics.

    Raises:
        KafkaException: Kafka does not answer.
        Fault: it has stopped answering.
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
