"""Ratings for trainings without servers: synthetic ones, data sets', and what damage makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dataflix_postgres.generator import catalogue, histories
from dataflix_training.film_features import Film
from dataflix_training.ratings import Ints, Ratings, in_order

_TASTES = 12
_MICROSECONDS_OF_A_DAY = 86_400_000_000


def synthetic_ratings(users: int = 6040, items: int = 3706, rows: int = 1_000_000, seed: int = 0) -> Ratings:
    """Made-up ratings with latent structure, in the shape of MovieLens 1M.

    There are about ``rows`` of them. A few films have most of them; people rate films that suit their taste
    more often, and higher.

    Args:
        users: how many; ids from 1.
        items: how many; ids from 1.
        rows: at most; a film that somebody would rate twice counts once.
        seed: another one makes other ratings.
    """
    rng = np.random.default_rng(seed)
    likes = rng.normal(0, 1, (users, _TASTES)).astype(np.float32)
    traits = rng.normal(0, 1, (items, _TASTES)).astype(np.float32)
    popular = -0.9 * np.log(np.arange(1, items + 1))
    activity = rng.lognormal(0, 0.9, users)
    wanted = np.clip(rows * activity / activity.sum() * 1.03, 5, items // 2).astype(np.int64)
    columns = []
    for user in range(users):
        fit = traits @ likes[user] / np.sqrt(_TASTES)
        # the Gumbel trick: the highest of these are a sample without replacement by weight
        drawn = popular + 0.7 * fit + rng.gumbel(size=items)
        seen = np.argpartition(-drawn, wanted[user])[: wanted[user]]
        stars = 3.6 + 0.45 * fit[seen] + rng.normal(0, 0.8, len(seen)) + 0.3 * np.sin(seen)
        at = np.sort(rng.integers(0, 1000 * _MICROSECONDS_OF_A_DAY, len(seen)))
        columns.append((np.full(len(seen), user + 1), seen + 1, stars, at))
    user_ids, movie_ids, stars, at = (np.concatenate(column) for column in zip(*columns, strict=True))
    halves = np.clip(np.rint(2 * stars), 1, 10) / 2
    made = in_order(user_ids, movie_ids, halves, at, len(halves))
    return made if len(made) <= rows else made[np.sort(rng.choice(len(made), rows, replace=False))]


def sample_ratings(users: int, ratings_per_user: int) -> Ratings:
    """Those that ``dataflix-seed`` would load."""
    rows = [
        (history.user_id, viewing.movie_id, viewing.rating, viewing.rated_at.timestamp())
        for history in histories(catalogue(), users, ratings_per_user)
        for viewing in history.viewings
        if viewing.rated_at
    ]
    user_ids, movie_ids, stars, at = (np.asarray(column) for column in zip(*rows, strict=True))
    return in_order(user_ids, movie_ids, stars.astype(np.float64), (1e6 * at).astype(np.int64), 1)


def movielens_ratings(folder: Path) -> Ratings:
    """Those of a MovieLens release."""
    frame = pd.read_csv(folder / "ratings.csv")
    users, movies, stars, at = (
        frame[name].to_numpy() for name in ("userId", "movieId", "rating", "timestamp")
    )
    return in_order(users, movies, stars, 1_000_000 * at, 1)


def movielens_films(folder: Path) -> dict[int, Film]:
    """Titles, years and genres of a MovieLens release."""
    frame = pd.read_csv(folder / "movies.csv")
    years = pd.to_numeric(frame.title.str.extract(r"\((\d{4})\)\s*$")[0])
    return {
        int(movie): (title, None if np.isnan(year) else int(year), tuple(genres.split("|")))
        for movie, title, year, genres in zip(frame.movieId, frame.title, years, frame.genres, strict=True)
    }


def with_shuffled_stars(ratings: Ratings, share: float) -> Ratings:
    """The same with this share of the stars dealt out anew."""
    rows = _some(ratings, share)
    stars = ratings.stars.copy()
    stars[rows] = stars[np.random.default_rng(2).permutation(rows)]
    return replace(ratings, stars=stars)


def with_permuted_films(ratings: Ratings, share: float) -> Ratings:
    """The same with this share of the films' ids dealt out anew, and nobody rating a film twice."""
    rows = _some(ratings, share)
    movies = ratings.movie_ids.copy()
    movies[rows] = movies[np.random.default_rng(2).permutation(rows)]
    _, first = np.unique(np.column_stack([ratings.user_ids, movies]), axis=0, return_index=True)
    kept = ratings[np.sort(first)]
    return in_order(kept.user_ids, movies[np.sort(first)], kept.stars, kept.rated_at, ratings.max_version)


def _some(ratings: Ratings, share: float) -> Ints:
    return np.flatnonzero(np.random.default_rng(1).random(len(ratings)) < share)
