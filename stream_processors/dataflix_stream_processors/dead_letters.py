"""What is kept of a refused message: where it is and why, never what it says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson

from dataflix_contract.masking import Masking
from dataflix_stream_processors.message_masker import Refused

_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message is: the one way to find it again."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused message's description; every field is safe to show.

    Attributes:
        position: where the original is, as long as the raw topic keeps it.
        table: the contract's table, if the topic belongs to one.
        reason: the class of fault, one of ``Reason``.
        detail: what is wrong where, without any value.
        op: the kind of change, if it could be read.
        lsn: its WAL position, if it could be read.
        timestamp_ms: the original's timestamp in Kafka.
        refused_ms: when the masker refused it.
        key_bytes: size of the key, None for no key.
        value_bytes: size of the value.
        fingerprint: keyed fingerprint of the value: equal for equal values.
    """

    position: Position
    table: str | None
    reason: str
    detail: str
    op: str | None
    lsn: int | None
    timestamp_ms: int
    refused_ms: int
    key_bytes: int | None
    value_bytes: int
    fingerprint: str

    def to_json(self) -> bytes:
        """The message for the dead-letter topic."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, data: bytes) -> DeadLetter:
        """Read a dead letter back.

        Raises:
            ValueError: the data is no dead letter.
        """
        try:
            fields = orjson.loads(data)
            return cls(position=Position(**fields.pop("position")), **fields)
        except (TypeError, KeyError, AttributeError, orjson.JSONDecodeError) as error:
            raise ValueError("not a dead letter") from error


def dead_letter(
    refused: Refused, record: Any, table: str | None, masking: Masking, now: float | None = None
) -> DeadLetter:
    """Describe a refused record (of aiokafka)."""
    value = record.value or b""
    return DeadLetter(
        position=Position(record.topic, record.partition, record.offset),
        table=table,
        reason=refused.reason.value,
        detail=refused.detail,
        op=refused.op,
        lsn=refused.lsn,
        timestamp_ms=record.timestamp,
        refused_ms=int((time.time() if now is None else now) * _MILLISECONDS),
        key_bytes=None if record.key is None else len(record.key),
        value_bytes=len(value),
        fingerprint=masking.fingerprint(value),
    )
