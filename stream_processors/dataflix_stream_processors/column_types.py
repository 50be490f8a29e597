"""Check that a JSON value has the type that the contract gives its column, and bring it into one form.

ClickHouse reads a value of the wrong type as zero or an empty text without
reporting it. So each forwarded value is checked here, where a refusal can be reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from dataflix_contract.schema import UNAVAILABLE_VALUE, ColumnType

Check = Callable[[Any], bool]

_NUMERIC_2_1_TEXTS = frozenset(
    f"{sign}{whole}{tenths}"
    for sign in ("", "-")
    for whole in range(10)
    for tenths in ("", *(f".{digit}" for digit in range(10)))
)
# How a numeric column of another scale writes a value that fits numeric(2,1), such as 3.50.
_PADDED_NUMERIC_2_1 = re.compile(r"(-?[0-9]\.[0-9])0+").fullmatch

# Only the years that DateTime64(6) can hold: ClickHouse clamps what lies outside.
_TIMESTAMP = re.compile(
    r"(?:19|2[0-2])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch


def is_integer(bits: int) -> Check:
    """A check for whole numbers of so many bits; ``true`` is not one."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def check(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return check


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_text_array(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _is_numeric_2_1(value: Any) -> bool:
    return type(value) is str and (value in _NUMERIC_2_1_TEXTS or _PADDED_NUMERIC_2_1(value) is not None)


def _normal_numeric_2_1(value: str) -> str:
    """The value with one digit after the point at most: ClickHouse refuses more, even if they are zeros."""
    if value in _NUMERIC_2_1_TEXTS:
        return value
    longer = _PADDED_NUMERIC_2_1(value)
    return value if longer is None else longer[1]


def _is_timestamp(value: Any) -> bool:
    if type(value) is not str or _TIMESTAMP(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:  # the 30th of February
        return False
    return True


def is_unavailable(value: Any) -> bool:
    """Whether this is the placeholder that Debezium sends instead of a value that it does not have."""
    return value in (UNAVAILABLE_VALUE, [UNAVAILABLE_VALUE])


#: The check of each type of the contract, for values that are not NULL.
CHECKS: dict[ColumnType, Check] = {
    ColumnType.SMALLINT: is_integer(16),
    ColumnType.BIGINT: is_integer(64),
    ColumnType.TEXT: _is_text,
    ColumnType.TEXT_ARRAY: _is_text_array,
    ColumnType.NUMERIC_2_1: _is_numeric_2_1,
    ColumnType.TIMESTAMPTZ: _is_timestamp,
}

#: Brings a checked value of a type into the one form in which it is forwarded.
NORMAL_FORMS: dict[ColumnType, Callable[[str], str]] = {ColumnType.NUMERIC_2_1: _normal_numeric_2_1}

#: The Python type that parsed JSON gives the values of each type.
JSON_KINDS: dict[ColumnType, type] = {
    ColumnType.SMALLINT: int,
    ColumnType.BIGINT: int,
    ColumnType.TEXT: str,
    ColumnType.TEXT_ARRAY: list,
    ColumnType.NUMERIC_2_1: str,
    ColumnType.TIMESTAMPTZ: str,
}
