"""Check a cron expression of five fields: minute, hour, day of the month, month, day of the week.

Airflow reads the schedule of the daily batch with ``croniter``, in a process that starts minutes after
``./run.sh``. This finds what is wrong with an expression at once, with the standard library alone. It takes
what ``croniter`` takes: ``*``, numbers, names of months and weekdays, ranges (``fri-mon`` too), steps, lists
of these, ``?`` for ``*``, ``L`` for the last day of the month, and ``mon#1`` and ``L1`` for the month's first
and last Monday.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: The most days that each month can have.
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:([*?])|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", re.ASCII)
_WEEKDAY_OF_MONTH = re.compile(r"l([0-7])|([0-7]|[a-z]{3})#[1-5]", re.ASCII)


class CronError(ValueError):
    """An expression is not valid; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


_DAY, _WEEKDAY = "day of the month", "day of the week"
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field(_DAY, 1, 31),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field(_WEEKDAY, 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def check_cron(text: str) -> None:
    """Check that an expression is valid, and describes at least one point in time.

    Raises:
        CronError: it is not valid, or there is no such day.
    """
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        raise CronError(f"there are {len(parts)} fields")
    _minutes, _hours, days, months, _weekdays = (
        _numbers(part, one) for part, one in zip(parts, _FIELDS, strict=True)
    )
    # if both kinds of days are restricted, a day that fits one of them is enough
    if parts[4] in {"*", "?"} and not any(day <= _DAYS[month - 1] for day in days for month in months):
        raise CronError("no month has such a day")


def _numbers(text: str, one: _Field) -> set[int]:
    """The numbers that a field stands for; the last day of a month counts as the least that it can be."""
    found: set[int] = set()
    for item in text.split(","):
        if one.name == _DAY and item == "l":
            found.add(min(_DAYS))
        elif one.name == _WEEKDAY and (special := _WEEKDAY_OF_MONTH.fullmatch(item)):
            found.add(_number(special[1] or special[2], one))
        else:
            found |= _range(item, one)
    return found


def _range(item: str, one: _Field) -> set[int]:
    parts = _ITEM.fullmatch(item)
    if parts is None or (parts[1] == "?" and one.name not in {_DAY, _WEEKDAY}):
        raise CronError(f"the {one.name} cannot be read")
    everything, first, last, step = parts.groups()
    if step and int(step) == 0:
        raise CronError(f"the step of the {one.name} is 0")
    low = one.low if everything else _number(first, one)
    # a single number with a step means "from this number on"
    high = one.high if everything or (step and not last) else _number(last or first, one)
    if low <= high:
        numbers = [*range(low, high + 1)]
    else:  # past the end, and on from the beginning
        numbers = [*range(low, one.high + 1), *range(one.low, high + 1)]
    return set(numbers[:: int(step or 1)])


def _number(text: str, one: _Field) -> int:
    number = one.names.get(text, int(text) if text.isdigit() else -1)
    if not one.low <= number <= one.high:
        raise CronError(f"the {one.name} must be from {one.low} to {one.high}")
    return number
