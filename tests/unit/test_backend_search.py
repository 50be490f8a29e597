"""Searches as SQL: what was asked for is there, as parameters, and nothing else."""

import pytest

from dataflix_backend.database import containing
from dataflix_backend.movies import order_of, statement
from dataflix_backend.schemas import MovieSearch


@pytest.mark.parametrize(
    ("sort", "q", "order"),
    [
        (None, None, "title"),
        (None, "", "title"),
        (None, "matrix", "relevance"),
        ("relevance", None, "title"),
        ("relevance", "matrix", "relevance"),
        ("popular", "matrix", "popular"),
        ("rating", None, "rating"),
        ("year", "", "year"),
    ],
)
def test_the_order_goes_without_saying(sort: str | None, q: str | None, order: str) -> None:
    assert order_of(MovieSearch.model_validate({"sort": sort, "q": q})).name == order


def test_values_are_parameters() -> None:
    wanted = MovieSearch(q="it's", genre="Sci-Fi'", year_from=1990, year_to=2000)
    query, values = statement(wanted, order_of(wanted), (-1.5, 7))
    assert "'" not in query.replace("'%", "")
    for name in ("q", "part", "genre", "year_from", "year_to", "limit", "key", "movie_id"):
        assert f"%({name})s" in query
        assert name in values
    assert (values["part"], values["key"], values["movie_id"]) == ("%it's%", -1.5, 7)


def test_what_was_not_asked_for_is_not_there() -> None:
    wanted = MovieSearch()
    query, _ = statement(wanted, order_of(wanted), None)
    assert "WHERE true" in query
    assert "%(q)s" not in query


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("", None), (None, None), ("ann", "%ann%"), ("50%", r"%50\%%"), ("a_b\\", r"%a\_b\\%")],
)
def test_a_part_is_taken_literally(text: str | None, pattern: str | None) -> None:
    assert containing(text) == pattern
