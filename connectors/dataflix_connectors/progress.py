"""How far consumers have come, so that one can wait until they have seen all that was written."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from dataflix_contract.faults import Fault

_TIMEOUT_S = 20.0
_POLL_S = 0.5

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """First and next offset of a partition."""

    first: int
    next: int


def read_bounds(admin: AdminClient, topics: Collection[str]) -> dict[Partition, Bounds]:
    """The bounds of every partition of the topics.

    Raises:
        Fault: Kafka does not answer.
    """
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT_S).topics
        partitions = [(topic, number) for topic in topics for number in metadata[topic].partitions]
        first = _offsets(admin, partitions, OffsetSpec.earliest())
        last = _offsets(admin, partitions, OffsetSpec.latest())
    except KafkaException as error:
        raise Fault(f"Kafka does not say how long its topics are: {error}") from error
    return {partition: Bounds(first[partition], last[partition]) for partition in partitions}


def read_committed(admin: AdminClient, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
    """The offsets that a group has committed; -1001 where it has none.

    Raises:
        Fault: Kafka does not answer.
    """
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*partition) for partition in partitions])
    try:
        [future] = admin.list_consumer_group_offsets([wanted]).values()
        answer = future.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise Fault(f"Kafka does not say how far group {group} is: {error}") from error
    return {(entry.topic, entry.partition): entry.offset for entry in answer.topic_partitions}


def behind(bounds: Mapping[Partition, Bounds], committed: Mapping[Partition, int]) -> int:
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
    while missing := behind(bounds, read_committed(admin, group, bounds.keys())):
        if time.monotonic() > deadline:
            raise Fault(f"group {group} is still {missing} messages behind after {timeout_s:.0f} s")
        report(f"waiting for {group}: {missing} messages to go")
        time.sleep(_POLL_S)


def _offsets(admin: AdminClient, partitions: Collection[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    # The library's type hints know neither the result's attributes nor the default arguments.
    futures: dict[TopicPartition, Any] = admin.list_offsets(
        {TopicPartition(*partition): spec for partition in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
    )
    return {
        (asked.topic, asked.partition): future.result(timeout=_TIMEOUT_S).offset
        for asked, future in futures.items()
    }
