"""The dead-letter topic as a list, and the way back into the raw topics.

A letter's state is in the topic itself: a second record with the letter's key says
that it was sent again. So nothing else need be kept, and a restart forgets nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflix_contract.schema import DEAD_LETTER_TOPIC, MAX_MESSAGE_BYTES
from dataflix_stream_processors.dead_letters import DeadLetter
from dataflix_stream_processors.delivery import Delivery

_TIMEOUT_SECONDS = 10.0
_BATCH = 1000
_REPLAYED = "replayed_ms"
_MARKER = f'{{"{_REPLAYED}":'.encode()


class NotKeptError(Exception):
    """The raw topic's retention has deleted the original."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter and whether it was sent again."""

    letter: DeadLetter
    replayed: bool


class DeadLetterBox:
    """Reads dead letters and replays their originals.

    Args:
        client: how the broker is reached: ``Settings.kafka_client``.
    """

    def __init__(self, client: Mapping[str, str]) -> None:
        self._delivery = Delivery(client, "dataflix-dlq")
        self._consumer = Consumer(
            {
                **client,
                "group.id": "dataflix-dlq",  # never joined: partitions are assigned by hand
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "log_level": 0,  # faults come as exceptions
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def entries(self) -> list[Entry]:
        """Every dead letter that the topic keeps, oldest first.

        Raises:
            KafkaException: the broker does not answer.
            ValueError: the topic holds something else.
        """
        letters: dict[bytes, DeadLetter] = {}
        replayed = set()
        for message in self._all_messages(DEAD_LETTER_TOPIC):
            key, value = message.key() or b"", message.value() or b"{}"
            if value.startswith(_MARKER):
                replayed.add(key)
            else:
                letters[key] = DeadLetter.from_json(value)
        entries = [Entry(letter, key in replayed) for key, letter in letters.items()]
        return sorted(entries, key=lambda entry: entry.letter.refused_ms)

    def replay(self, entry: Entry) -> None:
        """Send the original again: same bytes, key, headers and partition.

        Raises:
            NotKeptError: there is no original any more.
            DeliveryError: the broker did not take it.
        """
        position = entry.letter.position
        original = self._original(position.topic, position.partition, position.offset)
        self._delivery.send(
            position.topic,
            original.key(),
            original.value(),
            position.partition,
            list(original.headers() or []),
        )
        self._delivery.finish()
        marker = orjson.dumps({_REPLAYED: int(time.time() * 1000)})
        self._delivery.send(DEAD_LETTER_TOPIC, str(position).encode(), marker)
        self._delivery.finish()

    def _original(self, topic: str, partition: int, offset: int) -> Message:
        where = TopicPartition(topic, partition)
        low, high = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_SECONDS)
        if not low <= offset < high:
            raise NotKeptError
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            message = _checked(self._consumer.poll(_TIMEOUT_SECONDS))
        finally:
            self._consumer.unassign()
        if message.offset() != offset:
            raise NotKeptError
        return message

    def _all_messages(self, topic: str) -> Iterator[Message]:
        listed = self._consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic]
        if listed.error is not None:
            raise KafkaException(listed.error)
        for partition in sorted(listed.partitions):
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_SECONDS
            )
            yield from self._messages(topic, partition, low, high)

    def _messages(self, topic: str, partition: int, low: int, high: int) -> Iterator[Message]:
        if low >= high:
            return
        where = TopicPartition(topic, partition, low)
        self._consumer.assign([where])
        try:
            position = low
            while position < high:
                # A compacted topic's last offsets may be empty: the position tells.
                for message in self._consumer.consume(_BATCH, 0.5):
                    yield _checked(message)
                position = max(position, self._consumer.position([where])[0].offset)
        finally:
            self._consumer.unassign()


def _checked(message: Message | None) -> Message:
    if message is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
    error = message.error()
    if error is not None:
        raise KafkaException(error)
    return message
