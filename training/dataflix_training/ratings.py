"""Ratings as columns, and the splits that training is judged by. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Whoever has rated fewer films keeps all of them in training.
FEWEST_TO_SPLIT = 5


@dataclass(frozen=True, slots=True)
class Ratings:
    """Columns of equal length, in the order of ``user_ids``, ``rated_at``, ``movie_ids``.

    Attributes:
        user_ids: int64.
        movie_ids: int64.
        stars: float64, half stars.
        rated_at: int64, microseconds since 1970.
        max_version: the newest change among them: a position in PostgreSQL's log.
    """

    user_ids: Ints
    movie_ids: Ints
    stars: Floats
    rated_at: Ints
    max_version: int

    def __len__(self) -> int:
        """How many."""
        return len(self.stars)

    def __getitem__(self, chosen: NDArray[Any]) -> Ratings:
        """Some of them: a mask, or places that rise."""
        columns = (self.user_ids, self.movie_ids, self.stars, self.rated_at)
        users, movies, stars, rated_at = (column[chosen] for column in columns)
        return Ratings(users, movies, stars, rated_at, self.max_version)

    def digest(self) -> str:
        """SHA-256 of who rated what, how and when: equal data have equal digests, whatever their versions."""
        hashed = hashlib.sha256()
        for column in (self.user_ids, self.movie_ids, self.stars, self.rated_at):
            hashed.update(np.ascontiguousarray(column).data)
        return hashed.hexdigest()


def in_order(user_ids: Ints, movie_ids: Ints, stars: Floats, rated_at: Ints, max_version: int) -> Ratings:
    """Ratings from columns in any order."""
    order = np.lexsort((movie_ids, rated_at, user_ids))
    return Ratings(user_ids[order], movie_ids[order], stars[order], rated_at[order], max_version)


def split_latest(ratings: Ratings, share: float) -> tuple[Ratings, Ratings]:
    """Split into (earlier, latest): the latest ``share`` of every person's ratings, by time.

    People with fewer than :data:`FEWEST_TO_SPLIT` ratings stay whole in the first part, so everyone in
    the second is known to the first; films may be new.
    """
    _, first, counts = np.unique(ratings.user_ids, return_index=True, return_counts=True)
    place = np.arange(len(ratings)) - np.repeat(first, counts)
    keep = np.where(counts < FEWEST_TO_SPLIT, counts, np.ceil(counts * (1 - share))).astype(np.int64)
    latest = place >= np.repeat(keep, counts)
    return ratings[~latest], ratings[latest]
