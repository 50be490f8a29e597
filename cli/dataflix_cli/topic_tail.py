"""The records at one end of a topic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflix_cli.faults import AwayFault, NotFoundFault
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
        AwayFault: Kafka has stopped answering.
        KafkaException: Kafka does not answer.
    """
    last = None if from_beginning else (number or 10)
    consumer = Consumer(
        settings.kafka_client
        | {
            "group.id": "dataflix-cli",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "socket.timeout.ms": _SECONDS * 1000,
            "log_level": 0,
        }
    )
    try:
        starts = _starts(consumer, topic, last)
        consumer.assign(starts)
        found = sorted(
            _until_end(consumer, len(starts)), key=lambda one: (one.timestamp, one.partition, one.offset)
        )
        if last is not None:
            found = found[-last:]
        yield from found[:number] if from_beginning else found
        while follow:
            yield from (one for one in _read(consumer) if isinstance(one, Record))
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


def _until_end(consumer: Consumer, partitions: int) -> Iterator[Record]:
    ended: set[int] = set()
    heard = time.monotonic()
    while len(ended) < partitions:
        if time.monotonic() - heard > _SECONDS:
            raise AwayFault("Kafka has stopped answering", "dataflix status looks what is wrong")
        for one in _read(consumer):
            heard = time.monotonic()
            if isinstance(one, Record):
                yield one
            else:
                ended.add(one)


def _read(consumer: Consumer) -> Iterator[Record | int]:
    """What has arrived: records, and the numbers of partitions that have been read to their end."""
    for message in consumer.consume(_BATCH, timeout=_POLL_SECONDS):
        error = message.error()
        if error is None:
            yield _record(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            yield message.partition() or 0
        else:
            raise KafkaException(error)


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
