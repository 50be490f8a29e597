"""Ratings for trainings without servers: the sample data's, and what damage makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dataflix_postgres.generator import catalogue, histories
from dataflix_training.film_features import Film
from dataflix_training.ratings import Ints, Ratings, in_order


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
