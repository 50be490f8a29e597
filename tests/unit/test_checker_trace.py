"""The trace's reading of a primary key from the command line."""

import pytest
import typer

from dataflix_checker.trace_command import parse_key
from dataflix_contract import tables


def test_key_parts_come_in_any_order_and_are_returned_in_the_tables() -> None:
    key = parse_key(tables()["ratings"], ["movie_id=318", "user_id=1"])
    assert list(key.items()) == [("user_id", 1), ("movie_id", 318)]


@pytest.mark.parametrize(
    "parts",
    [[], ["user_id=1"], ["user_id=1", "movie_id=x"], ["user_id=1", "movie_id=2", "rating=3"], ["user_id"]],
)
def test_a_wrong_key_is_refused(parts: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_key(tables()["ratings"], parts)
