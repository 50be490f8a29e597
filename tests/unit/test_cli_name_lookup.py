"""Which film a title means."""

import pytest

from dataflix_cli.name_lookup import clear_match, split_title, titled


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Heat (1995)", "Heat", 1995),
        (" Heat ", "Heat", None),
        ("(500) Days of Summer (2009)", "(500) Days of Summer", 2009),
        ("(1995)", "(1995)", None),
        ("Heat (95)", "Heat (95)", None),
        ("", "", None),
    ],
)
def test_a_title_may_have_its_year(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


def test_a_film_is_shown_with_the_year_it_has() -> None:
    assert titled({"title": "Heat", "release_year": 1995}) == "Heat (1995)"
    assert titled({"title": "Heat", "release_year": None}) == "Heat"


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["The Godfather", "The Godfather Part II"], 0),
        (["Part II: the godfather", "THE GODFATHER"], 1),
        (["The Godfathre"], 0),
        (["The Godfather", "the godfather"], None),
        (["Godfather 1", "Godfather 2"], None),
        ([], None),
    ],
)
def test_the_same_name_is_meant_before_one_that_resembles_it(names: list[str], place: int | None) -> None:
    assert clear_match("the godfather", names) == place


def test_accents_need_not_be_typed() -> None:
    assert clear_match("amelie", ["Amélie", "Amelia"]) == 0
    assert clear_match("AMÉLIE", ["Amelia", "Amelie"]) == 1
    assert clear_match("千と千尋", ["千", "千と千尋"]) == 1
