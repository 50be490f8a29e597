"""Describe messages that the masker refuses: the reason, the cure, and a dead letter without values.

A message that cannot be parsed, or does not fit the contract, is refused by ``message_masker.py``. It ends as
the dead letter that this module makes: ``processing.py`` sends it to the dead-letter topic and goes on with
the next message, and ``dead_letter_replay.py`` has it masked again once the cause is mended.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import Any

import orjson

from dataflix_contract.masking import Masking


class Reason(enum.StrEnum):
    """Why the masker refuses a message."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_ENVELOPE = "not_an_envelope"
    UNKNOWN_OP = "unknown_op"
    MISSING_ROW = "missing_row"
    MISSING_COLUMN = "missing_column"
    WRONG_TYPE = "wrong_type"
    UNAVAILABLE_VALUE = "unavailable_value"
    NULL_KEY = "null_key"
    BAD_KEY = "bad_key"
    KEY_MISMATCH = "key_mismatch"
    BAD_FENCE = "bad_fence"


_BROKEN_MESSAGE = (
    "not written by our connector: find out who else writes to the raw topic; "
    "dataflix-reconcile repairs the row if it is one of ours"
)
_CURES: dict[str, str] = {
    Reason.TOO_LARGE: "raise DATAFLIX_MASKER_MAX_BYTES, run ./run.sh, then replay",
    Reason.MISSING_COLUMN: (
        "was the column renamed, dropped or made a generated one? Bring it back, or take it out of "
        "tables.toml and replay. A message from before the column was added lacks it too. In each case "
        "dataflix-reconcile loads the row from the source"
    ),
    Reason.WRONG_TYPE: (
        "was the column's type changed? dataflix-connector preflight names the difference: change it "
        "back, or change tables.toml and replay; dataflix-reconcile loads the row once they agree"
    ),
    Reason.UNAVAILABLE_VALUE: (
        "ALTER TABLE ... REPLICA IDENTITY FULL, so that it does not happen again; "
        "dataflix-reconcile loads the row from the source"
    ),
}


def cure(reason: str) -> str:
    """What to do about a letter with this reason, which may come from an older or newer release."""
    return _CURES.get(reason, _BROKEN_MESSAGE)


class RefusalError(Exception):
    """A message that must not be forwarded.

    Args:
        reason: the class of fault.
        detail: what is wrong where; made of names from the contract and of type
            names only, because it is written to the dead letters and the log.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that must not travel, and what can be said of it."""

    reason: Reason
    detail: str
    op: str | None = None
    lsn: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message is in Kafka; nothing else identifies it."""

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
        refused_ms=int((time.time() if now is None else now) * 1000),
        key_bytes=None if record.key is None else len(record.key),
        value_bytes=len(value),
        fingerprint=masking.fingerprint(value),
    )
