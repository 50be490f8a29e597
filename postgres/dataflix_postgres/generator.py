"""Generate the sample data: a catalogue of well-known films, and made-up users' viewings and ratings of them.

A recommender can learn from these data, because ratings follow a model. The films are in ``movies.csv``
beside this module. Each user has a taste (five hidden factors over genres, and a preference for old or new
films) and a mood (generous or strict); each film has an appeal and a fame. People mostly watch films that are
famous and to their taste. Their stars are the sum of taste, appeal, mood and noise. The same arguments always
give the same data.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from dataflix_contract.schema import LEAST_STARS, MOST_STARS

Floats = npt.NDArray[np.float64]

#: All viewings are between these days. They are fixed, so that the data do not depend on today's date.
FIRST_DAY = datetime(2019, 1, 1, tzinfo=UTC)
LAST_DAY = datetime(2025, 12, 31, tzinfo=UTC)

_HOUR = 3600.0
_DAY = 24 * _HOUR
_FACTORS = 5
_RATED_SHARE = 0.87  # of the watched films; the others are never rated
_USERS_AT_ONCE = 1000  # bounds memory: users times films is a dense matrix

_MEAN = 3.1
_APPEAL = 0.45
_TASTE = 0.6
_ERA = 0.25
_MOOD = 0.3
_NOISE = 0.45
_FAME_EXPONENT = 0.9
_TASTE_IN_CHOICE = 1.0


@dataclass(frozen=True, slots=True)
class Film:
    """One film of the sample catalogue.

    Attributes:
        appeal: how much an average viewer likes it, from 1 to 9. Only this module uses it.
    """

    movie_id: int
    title: str
    release_year: int
    genres: tuple[str, ...]
    appeal: int
    overview: str


@functools.cache
def catalogue() -> tuple[Film, ...]:
    """All films, in the order of the file; a film's id is its place there, from 1."""
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


@dataclass(frozen=True, slots=True)
class Viewing:
    """One film watched by one user; ``rating`` and ``rated_at`` are None if it is not rated."""

    movie_id: int
    watched_at: datetime
    rating: float | None
    rated_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """When a user joined, and what they watched, oldest first."""

    user_id: int
    joined_at: datetime
    viewings: tuple[Viewing, ...]


@dataclass(frozen=True, slots=True)
class _FilmTraits:
    """The properties of the films that do not depend on users; one element or row for each film."""

    movie_ids: tuple[int, ...]
    factors: Floats  # films x _FACTORS, each column of unit variance
    era: Floats
    appeal: Floats
    log_fame: Floats
    earliest: Floats  # seconds since the epoch


def histories(films: Sequence[Film], users: int, ratings_per_user: int, seed: int = 0) -> Iterator[History]:
    """Generate the histories of users 1 to ``users``.

    Args:
        films: the films that they may watch.
        users: how many users.
        ratings_per_user: the mean number of ratings; some users rate many times as much as others.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    world = _make_film_traits(films, rng)
    for first in range(1, users + 1, _USERS_AT_ONCE):
        count = min(_USERS_AT_ONCE, users + 1 - first)
        yield from _some_histories(world, first, count, ratings_per_user, rng)


def _make_film_traits(films: Sequence[Film], rng: np.random.Generator) -> _FilmTraits:
    appeal = _standardised(np.array([film.appeal for film in films], dtype=np.float64))
    fame_rank = np.argsort(np.argsort(-(appeal + rng.normal(size=len(films)))))
    return _FilmTraits(
        movie_ids=tuple(film.movie_id for film in films),
        factors=_standardised(_genre_matrix(films) @ rng.normal(size=(_genre_count(films), _FACTORS))),
        era=_standardised(np.array([film.release_year for film in films], dtype=np.float64)),
        appeal=appeal,
        log_fame=-_FAME_EXPONENT * np.log(fame_rank + 10.0),
        earliest=np.array([datetime(film.release_year + 1, 1, 1, tzinfo=UTC).timestamp() for film in films]),
    )


def _some_histories(
    world: _FilmTraits, first_user: int, users: int, ratings_per_user: int, rng: np.random.Generator
) -> Iterator[History]:
    taste = rng.normal(size=(users, _FACTORS)) @ world.factors.T / np.sqrt(_FACTORS)
    era = rng.normal(size=(users, 1)) * world.era
    mood = rng.normal(size=(users, 1))
    noise = rng.normal(size=taste.shape)
    stars = _MEAN + _APPEAL * world.appeal + _TASTE * taste + _ERA * era + _MOOD * mood + _NOISE * noise
    ratings = np.clip(np.round(stars * 2) / 2, LEAST_STARS, MOST_STARS)
    # Adding Gumbel noise and taking the largest draws without replacement by these weights.
    wish = world.log_fame + _TASTE_IN_CHOICE * taste + rng.gumbel(size=taste.shape)
    order = np.argsort(-wish, axis=1)
    counts = _activity(users, ratings_per_user, len(world.movie_ids), rng)
    for index in range(users):
        chosen = order[index, : counts[index]]
        yield _history(world, first_user + index, chosen, ratings[index, chosen], rng)


def _history(
    world: _FilmTraits,
    user_id: int,
    chosen: npt.NDArray[np.intp],
    ratings: Floats,
    rng: np.random.Generator,
) -> History:
    first, last = FIRST_DAY.timestamp(), LAST_DAY.timestamp()
    joined = rng.uniform(first, last - 90 * _DAY)
    start = np.maximum(joined, world.earliest[chosen])
    watched = rng.uniform(start, last)
    rated = watched + 2 * _HOUR + rng.exponential(_DAY, size=len(chosen))
    is_rated = rng.random(len(chosen)) < _RATED_SHARE
    viewings = tuple(
        Viewing(
            movie_id=world.movie_ids[chosen[i]],
            watched_at=_moment(watched[i]),
            rating=float(ratings[i]) if is_rated[i] else None,
            rated_at=_moment(rated[i]) if is_rated[i] else None,
        )
        for i in np.argsort(watched)
    )
    return History(user_id, _moment(joined), viewings)


def _activity(
    users: int, ratings_per_user: int, films: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    spread = 0.6
    mean = ratings_per_user / _RATED_SHARE
    drawn = rng.lognormal(np.log(mean) - spread**2 / 2, spread, size=users)
    return np.clip(np.round(drawn), 1, films).astype(np.int64)


def _genres(films: Sequence[Film]) -> list[str]:
    return sorted({genre for film in films for genre in film.genres})


def _genre_count(films: Sequence[Film]) -> int:
    return len(_genres(films))


def _genre_matrix(films: Sequence[Film]) -> Floats:
    """One row for each film, of unit length, so that films with many genres do not count more."""
    names = _genres(films)
    matrix = np.array([[name in film.genres for name in names] for film in films], dtype=np.float64)
    unit: Floats = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


def _standardised(values: Floats) -> Floats:
    scale = values.std(axis=0)
    standard: Floats = (values - values.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return standard


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
