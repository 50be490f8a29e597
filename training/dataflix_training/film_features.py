"""Titles, years and genres of films, as training uses them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import Model, identities
from dataflix_training.ratings import Ratings

#: Scales years and numbers of ratings to about 1.
_MIDDLE_YEAR, _YEARS, _LOG_COUNT = 1990, 20, 3

#: Title, year and genres.
Film = tuple[str, int | None, tuple[str, ...]]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def film_features(movie_ids: Ints, counts: Ints, films: Mapping[int, Film]) -> Floats:
    """Features of films that do not depend on who rates them, one row for each film.

    Genres (1 or 0), the year, the logarithm of the number of ratings, and the squares of the last two.

    Args:
        movie_ids: of the films.
        counts: how many ratings they have.
        films: the catalogue; a film that it does not have is of no genre and a middling year.
    """
    genres, years = _content(movie_ids, films)
    rated = np.log1p(counts) / _LOG_COUNT
    return np.column_stack([genres, years, years**2, rated, rated**2])


def catalogue_ids(rated: Ints, films: Mapping[int, Film]) -> Ints:
    """Ids of all films, those that nobody has rated too; rising."""
    return np.union1d(rated, np.fromiter(films, np.int64, len(films)))


def content_neighbours(movie_ids: Ints, among: Ints, films: Mapping[int, Film], count: int) -> Ints:
    """For each film, the places of the films most like it, by the cosine of genres less the years between.

    Args:
        movie_ids: the films, one row each.
        among: where neighbours are taken from; all of them, when they are fewer than ``count``.
        films: the catalogue.
        count: how many.
    """
    genres, years = _content(movie_ids, films)
    their_genres, their_years = _content(among, films)
    likeness = _normalised(genres) @ _normalised(their_genres).T
    likeness -= np.abs(years[:, np.newaxis] - their_years)
    if len(among) <= count:
        return np.tile(np.arange(len(among)), (len(movie_ids), 1))
    return np.argpartition(-likeness, count - 1, axis=1)[:, :count]


def _content(movie_ids: Ints, films: Mapping[int, Film]) -> tuple[Floats, Floats]:
    """Genres, one column each in the order of their names, and years, scaled and centred."""
    names = sorted({genre for film in films.values() for genre in film[2]})
    column = {genre: number for number, genre in enumerate(names)}
    known = [films.get(movie_id, ("", None, ())) for movie_id in movie_ids.tolist()]
    genres = np.zeros((len(known), len(names)))
    for row, film in enumerate(known):
        genres[row, [column[genre] for genre in film[2]]] = 1
    years = (np.asarray([film[1] or _MIDDLE_YEAR for film in known], np.float64) - _MIDDLE_YEAR) / _YEARS
    return genres, years


def _normalised(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9))


def with_films(model: Model, films: Mapping[int, Film]) -> Model:
    """The model with the titles and years of its films, which show to which catalogue it belongs.

    Args:
        model: the model.
        films: of the catalogue, by id; films that are not there count as unknown.
    """
    titles, years = identities(_identity(films, movie_id) for movie_id in model.item_ids.tolist())
    return replace(model, item_titles=titles, item_years=years)


def title_digests(ratings: Ratings, films: Mapping[int, Film]) -> NDArray[np.int64]:
    """For each rating the digest of its film's title."""
    movie_ids, places = np.unique(ratings.movie_ids, return_inverse=True)
    titles, _ = identities(_identity(films, movie_id) for movie_id in movie_ids.tolist())
    return np.asarray(titles[places], np.int64)


def _identity(films: Mapping[int, Film], movie_id: int) -> tuple[str, int | None] | None:
    return films[movie_id][:2] if movie_id in films else None
