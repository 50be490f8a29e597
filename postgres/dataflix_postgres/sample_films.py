"""The sample catalogue: films that people know, from ``movies.csv`` beside this module."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Film:
    """One film of the sample catalogue.

    Attributes:
        appeal: 1 to 9; how much an average viewer likes it. Only the generator of ratings reads it.
    """

    movie_id: int
    title: str
    release_year: int
    genres: tuple[str, ...]
    appeal: int
    overview: str


@functools.cache
def catalogue() -> tuple[Film, ...]:
    """Every film, in the order of the file; a film's id is its place there, from 1."""
    text = files(__package__).joinpath("movies.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="|", quoting=csv.QUOTE_NONE)
    return tuple(_film(number, row) for number, row in enumerate(rows, start=1))


def _film(movie_id: int, row: dict[str, str]) -> Film:
    return Film(
        movie_id=movie_id,
        title=row["title"],
        release_year=int(row["release_year"]),
        genres=tuple(row["genres"].split(",")),
        appeal=int(row["appeal"]),
        overview=row["overview"],
    )
