"""The records at one end of a topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from dataflix_cli.faults import NotFoundFault
from dataflix_clients.kafka import is_end, open_consumer, read_to_end
from dataflix_contract import Settings
from dataflix_contract.schema import RAW_TOPIC_PREFIX

_SECONDS = 5
_POLL_SECONDS = 0.5
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic; what is JSON is read, what is not is text.

    Attributes:
        timestamp: when it was written, RFC 3339 in UTC.
    """

    partition: int
    offset: int
    timestamp: str
    key: Any
    value: Any
    headers: dict[str, str]


def holds_personal_data(topic: str) -> bool:
    """Whether the topic is one that Debezium writes: rows as they are, before the masker."""
    return topic.startswith(f"{RAW_TOPIC_PREFIX}.")


def tail_topic(
    settings: Settings, topic: str, number: int | None, *, from_beginning: bool, follow: bool
) -> Iterator[Record]:
    """Yield a topic's newest or oldest records, oldest first.

    Args:
        settings: say where Kafka is.
        topic: its name.
        number: how many; None: the last 10, or all from the beginning.
        from_beginning: the oldest ones instead of the newest.
        follow: then wait for more, without end.

    Raises:
        NotFoundFault: there is no such topic.
        KafkaException: Kafka does not answer, or stops to.
    """
    last = None if from_beginning else (number or 10)
    consumer = open_consumer(settings, "dataflix-cli")
    try:
        starts = _starts(consumer, topic, last)
        found = sorted(
            map(_record, read_to_end(consumer, starts, _SECONDS)),
            key=lambda one: (one.timestamp, one.partition, one.offset),
        )
        if last is not None:
            found = found[-last:]
        yield from found[:number] if from_beginning else found
        while follow:
            messages = consumer.consume(_BATCH, timeout=_POLL_SECONDS)
            yield from (_record(message) for message in messages if not is_end(message))
    finally:
        consumer.close()


def _starts(consumer: Consumer, topic: str, last: int | None) -> list[TopicPartition]:
    """Where to begin in each partition, so that the last records are among those that follow."""
    there = consumer.list_topics(timeout=_SECONDS).topics
    if topic not in there:
        raise NotFoundFault(f"there is no topic {topic!r}", "dataflix topics lists them")
    starts = []
    for number in there[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_SECONDS)
        starts.append(TopicPartition(topic, number, low if last is None else max(low, high - last)))
    return starts


def _record(message: Message) -> Record:
    written = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    return Record(
        message.partition() or 0,
        message.offset() or 0,
        written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        _understood(message.key()),
        _understood(message.value()),
        {name: str(_understood(value)) for name, value in message.headers() or []},
    )


def _understood(part: bytes | str | None) -> Any:
    if part is None:
        return None
    try:
        return json.loads(part)
    except ValueError:
        return part if isinstance(part, str) else part.decode(errors="replace")
