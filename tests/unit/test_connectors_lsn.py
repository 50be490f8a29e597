"""WAL positions as text and as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_connectors.lsn import format_lsn, parse_lsn


def test_debezium_and_postgresql_mean_the_same() -> None:
    assert parse_lsn("0/1999EA8") == 26844840
    assert format_lsn(26844840) == "0/1999EA8"


def test_the_upper_half_counts() -> None:
    assert parse_lsn("16/B374D848") == (0x16 << 32) + 0xB374D848


@given(st.integers(0, 2**64 - 1))
def test_round_trip(position: int) -> None:
    assert parse_lsn(format_lsn(position)) == position


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/123456789", "x/1", "0/1 ", "-1/0"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no WAL position"):
        parse_lsn(text)


@pytest.mark.parametrize("position", [-1, 2**64])
def test_what_does_not_fit_is_refused(position: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        format_lsn(position)
