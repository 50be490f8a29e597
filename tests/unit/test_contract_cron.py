"""The schedule's expression is judged as ``croniter`` judges it, which Airflow reads it with."""

from datetime import datetime

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from croniter.croniter import CroniterError  # type: ignore[import-untyped]

from dataflix_contract.cron import CronError, check_cron

GOOD = [
    "30 3 * * *",
    "0  3 * * *",
    "*/15 * * * *",
    "*/70 * * * *",
    "5/10 * * * *",
    "0 3,15 1-10/3 * *",
    "0 22-2 * * *",
    "0 3 * * MON-FRI",
    "0 3 * * fri-mon",
    "0 3 * * 5-7",
    "0 3 * nov-feb *",
    "0 3 29 2 *",
    "0 3 31 apr,may *",
    "0 3 L 2 *",
    "0 3 ? * 1",
    "0 3 * * mon#1",
    "0 3 * * 1#2,3#4",
    "0 3 * * L5",
    "07 03 * * *",
]
BAD = [
    ("61 25 * * *", "minute must be from 0 to 59"),
    ("60 * * * *", "minute"),
    ("0 24 * * *", "hour must be from 0 to 23"),
    ("0 3 0 * *", "day of the month must be from 1 to 31"),
    ("0 3 32 * *", "day of the month"),
    ("0 3 * 0 *", "month must be from 1 to 12"),
    ("0 3 * 13 *", "month"),
    ("0 3 * xyz *", "month"),
    ("0 3 * * 8", "day of the week must be from 0 to 7"),
    ("0 3 30 feb *", "no month has such a day"),
    ("0 3 31 2,4,6,9,11 ?", "no month has such a day"),
    ("*/0 * * * *", "step of the minute is 0"),
    ("0 3 -1 * *", "cannot be read"),
    ("0 3 * * 1,", "cannot be read"),
    ("0 3 * * mon-", "cannot be read"),
    ("0 3 * * mon#6", "cannot be read"),
    ("0 3 W * *", "cannot be read"),
    ("? 3 1 1 1", "cannot be read"),
    ("\uff10 3 * * *", "cannot be read"),
    ("* * * *", "there are 4 fields"),
    ("", "there are 0 fields"),
]


def fires(expression: str) -> bool:
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next()  # noqa: DTZ001 - croniter's own default
    except (CroniterError, ValueError):
        return False
    return True


@pytest.mark.parametrize("expression", GOOD)
def test_a_schedule_that_airflow_can_read_is_taken(expression: str) -> None:
    assert fires(expression)
    check_cron(expression)


@pytest.mark.parametrize(("expression", "why"), BAD)
def test_a_schedule_that_airflow_cannot_read_is_refused_with_the_reason(expression: str, why: str) -> None:
    assert not fires(expression) or not expression.isascii()
    with pytest.raises(CronError, match=why):
        check_cron(expression)


def test_of_two_kinds_of_days_one_is_enough() -> None:
    """So says the croniter that Airflow has; older ones found no moment for the first of these."""
    check_cron("0 3 31 2 1")
    with pytest.raises(CronError, match="no month"):
        check_cron("0 3 31 2 *")


def test_six_fields_are_refused() -> None:
    """Croniter takes the sixth for seconds: somebody who wrote it means another time than the stack would."""
    with pytest.raises(CronError, match="6 fields"):
        check_cron("0 0 3 * * *")
