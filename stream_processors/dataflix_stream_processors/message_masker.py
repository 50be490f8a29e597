"""Turn a message of Debezium into the masked one, or into the reason why it is refused. No I/O.

What leaves this module is built from checked parts only: columns of the contract,
numbers, and words from closed lists. Nothing of a message is ever copied whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from dataflix_contract.masking import Mask, Masking
from dataflix_contract.schema import FENCE_HEADER, Column, Table
from dataflix_stream_processors.column_types import CHECKS, JSON_KINDS, NORMAL_FORMS, Check, is_unavailable
from dataflix_stream_processors.dead_letter_record import Reason, RefusalError, Refused

Headers = Iterable[tuple[str, bytes]]

#: ``source.snapshot``: Debezium's words, a closed list so that nothing else travels.
SNAPSHOT_STATES = frozenset(
    {"true", "false", "first", "first_in_data_collection", "last_in_data_collection", "last", "incremental"}
)
_OPS = frozenset("crudt")
_ROW_OPS = frozenset("cru")
_FENCE_DIGITS = 19

_MAX_BIGINT = (1 << 63) - 1


class RawMessage(Protocol):
    """A record of a raw topic, as aiokafka gives it."""

    @property
    def key(self) -> bytes | None: ...  # noqa: D102

    @property
    def value(self) -> bytes | None: ...  # noqa: D102

    @property
    def headers(self) -> Headers | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Masked:
    """A message that may travel.

    Attributes:
        key: the row's primary key, as JSON; None for a TRUNCATE, which is of no row.
        value: the masked envelope, as JSON.
        op: the kind of change: c, r, u, d or t.
        source_us: when PostgreSQL committed it, in microseconds since 1970.
        unknown: columns that the contract does not know; their values are gone.
    """

    key: bytes | None
    value: bytes
    op: str
    source_us: int
    unknown: frozenset[str]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A null value: Kafka's compaction marker, which changes no row."""


Outcome = Masked | Refused | Skipped
_SKIPPED = Skipped()
_NO_COLUMNS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _ColumnPlan:
    name: str
    type_name: str
    json_kind: type
    check: Check
    convert: Mask | None
    nullable: bool
    in_key: bool
    maybe_unavailable: bool


class TableMasker:
    """Masks the messages of one table.

    Args:
        table: the table's contract.
        masking: the pseudonyms.
        max_bytes: the largest value that is read.
    """

    def __init__(self, table: Table, masking: Masking, max_bytes: int) -> None:
        self.table = table
        self._max_bytes = max_bytes
        self._known = frozenset(table.columns)
        self._key = table.key
        self._plan = tuple(
            _column_plan(column, masking, in_key=column.name in table.key)
            for column in table.forwarded_columns
        )

    def decide(self, message: RawMessage) -> Outcome:
        """The masked message, the refusal, or nothing to do. Never raises for what a message holds."""
        value = message.value
        if value is None:
            return _SKIPPED
        envelope: Any = None
        try:
            self._check_size(message.key, value)
            envelope = _parse(value, Reason.NOT_JSON, "the value is not JSON")
            return self._masked(message.key, envelope, message.headers or ())
        except RefusalError as refusal:
            return Refused(refusal.reason, refusal.detail, *_op_and_lsn(envelope))

    def _check_size(self, key: bytes | None, value: bytes) -> None:
        size = len(value) + len(key or b"")
        if size > self._max_bytes:
            raise RefusalError(Reason.TOO_LARGE, f"{size} bytes, at most {self._max_bytes} are read")

    def _masked(self, key: bytes | None, envelope: Any, headers: Headers) -> Masked:
        if type(envelope) is not dict:
            raise RefusalError(Reason.NOT_AN_ENVELOPE, "the value is not a JSON object")
        op = _op(envelope)
        source = self._source(envelope)
        before, after = self._rows(envelope, op)
        masked_after = None if after is None else self.mask_row(after)
        masked_before = None if before is None else self.mask_row_before(before, key_counts=op == "d")
        row = masked_after or masked_before
        masked_key = None if row is None else self._masked_key(key, row)
        lsn, source_us = source["lsn"], source["ts_us"]
        value = {
            "op": op,
            "version": _fence(headers, lsn) if op == "r" else lsn,
            "before": masked_before,
            "after": masked_after,
            "source": source,
            "ts_us": _integer(envelope, "ts_us"),
        }
        unknown = self._unknown(before) | self._unknown(after)
        return Masked(masked_key, orjson.dumps(value), op, source_us, unknown)

    def mask_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Check and mask the row as it is after a change.

        Raises:
            RefusalError: a column is not in the message, or its value is of the wrong type or unavailable.
        """
        return _masked_values("after", self._plan, row)

    def mask_row_before(self, row: Mapping[str, Any], *, key_counts: bool) -> dict[str, Any]:
        """Mask the row as it was before a change; a value that is wrong becomes NULL.

        Only the key of a deleted row is ever used of it. A delete must get through whatever else the row
        held, since it may be the erasure of somebody's data.

        Args:
            row: the row.
            key_counts: whether the row's key is the change's key, as in a delete.

        Raises:
            RefusalError: ``key_counts``, and a column of the key is not as it must be.
        """
        try:
            return _masked_values("before", self._plan, row)
        except RefusalError:
            masked: dict[str, Any] = {}
            for column in self._plan:
                try:
                    masked |= _masked_values("before", (column,), row)
                except RefusalError:
                    if key_counts and column.in_key:
                        raise
                    masked[column.name] = None
            return masked

    def _source(self, envelope: dict[str, Any]) -> dict[str, Any]:
        source = envelope.get("source")
        if type(source) is not dict:
            raise RefusalError(Reason.NOT_AN_ENVELOPE, "there is no source object")
        if source.get("table") != self.table.name:
            raise RefusalError(Reason.NOT_AN_ENVELOPE, "source.table is not the topic's table")
        snapshot = source.get("snapshot", "false")
        if type(snapshot) is not str or snapshot not in SNAPSHOT_STATES:
            raise RefusalError(Reason.NOT_AN_ENVELOPE, "source.snapshot is not a word of Debezium")
        tx_id = source.get("txId")
        return {
            "table": self.table.name,
            "lsn": _integer(source, "lsn"),
            "tx_id": None if tx_id is None else _integer(source, "txId"),
            "ts_us": _integer(source, "ts_us"),
            "snapshot": snapshot,
        }

    @staticmethod
    def _rows(envelope: dict[str, Any], op: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        after = _row(envelope, "after") if op in _ROW_OPS else None
        if op == "d":
            return _row(envelope, "before"), None
        if op == "u" and type(envelope.get("before")) is dict:
            return _row(envelope, "before"), after
        return None, after

    def _masked_key(self, key: bytes | None, row: Mapping[str, Any]) -> bytes:
        if key is None:
            raise RefusalError(Reason.NULL_KEY, "the message has no key")
        parsed = _parse(key, Reason.BAD_KEY, "the key is not JSON")
        if type(parsed) is not dict:
            raise RefusalError(Reason.BAD_KEY, "the key is not a JSON object")
        expected = {name: row[name] for name in self._key}
        for name, value in expected.items():
            if name not in parsed or type(parsed[name]) is not type(value):
                raise RefusalError(Reason.BAD_KEY, f"the key's {name} is missing or of the wrong type")
            if parsed[name] != value:
                raise RefusalError(Reason.KEY_MISMATCH, f"the key's {name} is not the row's")
        return orjson.dumps(expected)

    def _unknown(self, row: Mapping[str, Any] | None) -> frozenset[str]:
        if row is None or row.keys() <= self._known:
            return _NO_COLUMNS
        return frozenset(row.keys() - self._known)


def _column_plan(column: Column, masking: Masking, *, in_key: bool) -> _ColumnPlan:
    return _ColumnPlan(
        column.name,
        column.type.value,
        JSON_KINDS[column.type],
        CHECKS[column.type],
        masking.function(column.pii) or NORMAL_FORMS.get(column.type),
        column.nullable,
        in_key,
        column.type.value.startswith("text"),
    )


def _masked_values(where: str, plan: Iterable[_ColumnPlan], row: Mapping[str, Any]) -> dict[str, Any]:
    masked = {}
    for column in plan:
        name = column.name
        value = row.get(name)
        if value is None:
            # What is not in the message is not NULL: the column was renamed, dropped, or not captured.
            if not column.nullable or name not in row:
                raise _null_refusal(where, name, present=name in row)
        elif not column.check(value):
            raise _type_refusal(where, column, value)
        elif column.maybe_unavailable and is_unavailable(value):
            raise _unavailable_refusal(where, column)
        elif column.convert is not None:
            value = column.convert(value)
        masked[name] = value
    return masked


def _parse(data: bytes, reason: Reason, detail: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # The error quotes the document, so it must not be chained into a log line.
        raise RefusalError(reason, detail) from None


def _op(envelope: dict[str, Any]) -> str:
    op = envelope.get("op")
    if type(op) is not str:
        raise RefusalError(Reason.NOT_AN_ENVELOPE, "there is no op")
    if op not in _OPS:
        raise RefusalError(Reason.UNKNOWN_OP, "op is none of c, r, u, d, t")
    return op


def _row(envelope: dict[str, Any], name: str) -> dict[str, Any]:
    row = envelope.get(name)
    if row is None:
        raise RefusalError(Reason.MISSING_ROW, f"there is no {name}")
    if type(row) is not dict:
        raise RefusalError(Reason.WRONG_TYPE, f"{name}: expected an object, got {type(row).__name__}")
    return row


def _integer(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_BIGINT:
        raise RefusalError(Reason.NOT_AN_ENVELOPE, f"{name} is not a whole number of 0 or more")
    return value


def _fence(headers: Headers, lsn: int) -> int:
    """The version of a snapshot row: the fence, or the row's own position if the connector sends no fence."""
    values = [value for name, value in headers if name == FENCE_HEADER]
    if not values:
        return lsn
    text = values[-1]
    if not (text and text.isdigit() and len(text) <= _FENCE_DIGITS and int(text) <= _MAX_BIGINT):
        raise RefusalError(Reason.BAD_FENCE, f"header {FENCE_HEADER} is not a WAL position")
    return int(text)


def _null_refusal(where: str, name: str, *, present: bool) -> RefusalError:
    if present:
        return RefusalError(Reason.WRONG_TYPE, f"{where}.{name}: NULL in a column that is never NULL")
    return RefusalError(
        Reason.MISSING_COLUMN, f"{where}.{name}: the contract has this column and the message does not"
    )


def _type_refusal(where: str, column: _ColumnPlan, value: Any) -> RefusalError:
    if is_unavailable(value):
        return _unavailable_refusal(where, column)
    kind = type(value)
    got = "a value that it does not hold" if kind is column.json_kind else kind.__name__
    return RefusalError(Reason.WRONG_TYPE, f"{where}.{column.name}: expected {column.type_name}, got {got}")


def _unavailable_refusal(where: str, column: _ColumnPlan) -> RefusalError:
    return RefusalError(
        Reason.UNAVAILABLE_VALUE, f"{where}.{column.name}: PostgreSQL did not log this large value"
    )


def _op_and_lsn(envelope: Any) -> tuple[str | None, int | None]:
    """The operation and the LSN of a refused message; None for one that is not a known word or a number."""
    if type(envelope) is not dict:
        return None, None
    op, source = envelope.get("op"), envelope.get("source")
    lsn = source.get("lsn") if type(source) is dict else None
    return (op if type(op) is str and op in _OPS else None), (lsn if type(lsn) is int else None)
