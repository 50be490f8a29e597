"""List the dead letters, and send their original messages to the raw topics again.

A letter's state is in Kafka itself: a second record with the letter's key says that it was
sent again, and a reconciliation says up to which change it has repaired a table's rows. So
nothing else has to be stored, and nothing is lost in a restart.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import orjson
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from dataflix_clients.kafka import admin_client, is_end, open_consumer, read_committed, read_to_end
from dataflix_contract import Settings
from dataflix_contract.polling import poll
from dataflix_contract.schema import DEAD_LETTER_TOPIC, MASKER_GROUP, RECONCILED_TOPIC
from dataflix_stream_processors.dead_letter_record import DeadLetter
from dataflix_stream_processors.delivery import Delivery

_TIMEOUT_SECONDS = 10.0
#: How long to wait for the next message of a topic that is read to its end.
_PATIENCE_SECONDS = 30.0
#: How long the masker gets to decide on what was sent again; it has other messages to mask as well.
_MASKING_SECONDS = 30.0
_POLL_SECONDS = 0.2
_REPLAYED = "replayed_ms"
_MARKER = f'{{"{_REPLAYED}":'.encode()


class NotKeptError(Exception):
    """The raw topic's retention has deleted the original."""


class State(enum.StrEnum):
    """What has become of a dead letter."""

    WAITS = "waits"
    REFUSED_AGAIN = "refused again"
    SENT_AGAIN = "sent again"
    RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter and what has become of it.

    Attributes:
        letter: the letter.
        replayed: whether it was sent again.
        state: what that led to. ``REFUSED_AGAIN``: the same message was refused for the same reason when
            it was sent again. ``RECONCILED``: its row was loaded from the source since.
    """

    letter: DeadLetter
    replayed: bool
    state: State

    @property
    def waits(self) -> bool:
        """Whether somebody has to do something about it."""
        return self.state in (State.WAITS, State.REFUSED_AGAIN)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A message that was sent again.

    Attributes:
        letter: the letter that it was sent for.
        offsets: the range of its partition's offsets in which the new message is.
    """

    letter: DeadLetter
    offsets: range


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Up to which WAL position, and as of what time, a reconciliation has repaired a table."""

    fence: int
    taken_ms: int

    def covers(self, letter: DeadLetter) -> bool:
        """Whether it has seen the letter's change; a letter without a WAL position is judged by its time."""
        return letter.timestamp_ms < self.taken_ms if letter.lsn is None else letter.lsn <= self.fence


def judge(
    letters: Mapping[bytes, DeadLetter], replayed: set[bytes], reconciled: Mapping[str, Reconciled]
) -> list[Entry]:
    """What has become of each letter, oldest first.

    Args:
        letters: the letters by their records' key.
        replayed: keys of those that were sent again.
        reconciled: the newest reconciliation by table.
    """
    entries = []
    sent_before: set[tuple[str, str, str]] = set()
    for key, letter in sorted(letters.items(), key=lambda item: item[1].refused_ms):
        same = (letter.position.topic, letter.fingerprint, letter.reason)
        done = reconciled.get(letter.table or "")
        if key in replayed:
            state = State.SENT_AGAIN
        elif done and done.covers(letter):
            state = State.RECONCILED
        else:
            state = State.REFUSED_AGAIN if same in sent_before else State.WAITS
        if key in replayed:
            sent_before.add(same)
        entries.append(Entry(letter, key in replayed, state))
    return entries


class DeadLetterBox:
    """Reads dead letters and replays their originals."""

    def __init__(self, settings: Settings) -> None:
        self._delivery = Delivery(settings.kafka_client, "dataflix-dlq")
        self._admin = admin_client(settings)
        self._consumer = open_consumer(settings, "dataflix-dlq")

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
        return judge(letters, replayed, self._reconciled())

    def replay(self, entry: Entry) -> Replayed:
        """Send the original again: same bytes, key, headers and partition.

        Raises:
            NotKeptError: there is no original any more.
            DeliveryError: the broker did not take it.
        """
        position = entry.letter.position
        where = TopicPartition(position.topic, position.partition)
        first = self._end(where)
        original = self._original(position.topic, position.partition, position.offset)
        self._delivery.send(
            position.topic,
            original.key(),
            original.value(),
            position.partition,
            list(original.headers() or []),
        )
        self._delivery.finish()
        sent = Replayed(entry.letter, range(first, self._end(where)))
        marker = orjson.dumps({_REPLAYED: int(time.time() * 1000)})
        self._delivery.send(DEAD_LETTER_TOPIC, str(position).encode(), marker)
        self._delivery.finish()
        return sent

    def refused_again(self, sent: Iterable[Replayed]) -> tuple[list[Entry], int]:
        """Wait until the masker has decided on what was sent again.

        Returns:
            The new letters of those that were refused, and how many were not decided on in time.

        Raises:
            KafkaException: the broker does not answer.
            Fault: it does not say how far the masker is.
        """
        sent = list(sent)
        decided = poll(lambda: not self._undecided(sent), _MASKING_SECONDS, _POLL_SECONDS)
        open_ones = 0 if decided else self._undecided(sent)
        places = {
            (one.letter.position.topic, one.letter.position.partition, offset, one.letter.fingerprint)
            for one in sent
            for offset in one.offsets
        }
        refused = [
            entry
            for entry in self.entries()
            if (
                entry.letter.position.topic,
                entry.letter.position.partition,
                entry.letter.position.offset,
                entry.letter.fingerprint,
            )
            in places
        ]
        return refused, open_ones

    def _undecided(self, sent: list[Replayed]) -> int:
        partitions = {(one.letter.position.topic, one.letter.position.partition) for one in sent}
        if not partitions:
            return 0
        done = read_committed(self._admin, MASKER_GROUP, partitions, _TIMEOUT_SECONDS)
        return sum(
            done[one.letter.position.topic, one.letter.position.partition] < one.offsets.stop for one in sent
        )

    def _end(self, where: TopicPartition) -> int:
        _, end = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_SECONDS)
        return int(end)

    def _reconciled(self) -> dict[str, Reconciled]:
        """The newest reconciliation by table."""
        if RECONCILED_TOPIC not in self._consumer.list_topics(timeout=_TIMEOUT_SECONDS).topics:
            return {}  # made by the next ./run.sh
        records = [orjson.loads(message.value() or b"{}") for message in self._all_messages(RECONCILED_TOPIC)]
        return {one["table"]: Reconciled(one["fence"], one["taken_ms"]) for one in records}

    def _original(self, topic: str, partition: int, offset: int) -> Message:
        where = TopicPartition(topic, partition)
        low, high = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_SECONDS)
        if not low <= offset < high:
            raise NotKeptError
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            message = self._consumer.poll(_TIMEOUT_SECONDS)
        finally:
            self._consumer.unassign()
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
        if is_end(message) or message.offset() != offset:
            raise NotKeptError
        return message

    def _all_messages(self, topic: str) -> Iterator[Message]:
        listed = self._consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic]
        if listed.error is not None:
            raise KafkaException(listed.error)
        starts = [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in listed.partitions]
        try:
            yield from read_to_end(self._consumer, starts, _PATIENCE_SECONDS)
        finally:
            self._consumer.unassign()
