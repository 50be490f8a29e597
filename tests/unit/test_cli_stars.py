"""Stars are read as people write them."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflix_cli.stars import StarsError, draw, parse_stars

HALVES = [halves / 2 for halves in range(1, 11)]


@pytest.mark.parametrize(
    ("text", "stars"),
    [
        ("4.5", 4.5),
        ("4,5", 4.5),
        (" 4½ ", 4.5),
        (".5", 0.5),
        ("½", 0.5),
        ("5", 5.0),
        ("5.0", 5.0),
        ("3.500", 3.5),
        ("****½", 4.5),
        ("★★★☆☆", 3.0),
        ("4 stars", 4.0),
        ("1 star", 1.0),
    ],
)
def test_stars_are_read(text: str, stars: float) -> None:
    assert parse_stars(text) == stars


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "5.5", "4.3", "4.55", "-1", "nan", "1e0", "five", "10", "******", "4.5½", "½½", "٤"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(StarsError, match=r"such as 4\.5"):
        parse_stars(text)


@pytest.mark.parametrize("stars", HALVES)
def test_what_is_drawn_is_read_again(stars: float) -> None:
    assert parse_stars(draw(stars)) == stars
    assert len(draw(stars)) == 5


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(StarsError):
        assert parse_stars(text) in HALVES
