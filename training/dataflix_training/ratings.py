"""Ratings as columns, and the splits that training is judged by. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: 64 bits for each rating; see :meth:`Ratings.fingerprints`.
Fingerprints = NDArray[np.uint64]
Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

#: All ratings of people who have rated fewer films than this stay in training.
FEWEST_TO_SPLIT = 5

_ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class Ratings:
    """Columns of equal length, ordered by ``user_ids``, ``rated_at`` and, where equal, :func:`hash_rows`.

    Attributes:
        user_ids: integers, as are the next.
        movie_ids: of the films.
        stars: half stars.
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
        ids, kinds = (self.user_ids, self.movie_ids), (np.int64, np.int64, np.float64, np.int64)
        for column, kind in zip((*ids, self.stars, self.rated_at), kinds, strict=True):
            for first in range(0, len(column), _ROWS_AT_ONCE):
                hashed.update(np.ascontiguousarray(column[first : first + _ROWS_AT_ONCE], kind).data)
        return hashed.hexdigest()

    def mean(self) -> float:
        """The mean of all stars."""
        return float(self.stars.mean(dtype=np.float64))

    def people(self) -> NDArray[np.int32]:
        """For each rating the place of its person among all people."""
        changes = np.diff(self.user_ids, prepend=self.user_ids[:1]) != 0
        return np.cumsum(changes, dtype=np.int32)

    def fingerprints(self, titles: Ints) -> dict[str, Fingerprints]:
        """Three 64-bit hashes of each rating: one for each pair of person, film and time.

        Ratings are recognised by them even if one of these columns has changed in every row. Stars do not
        count.

        Args:
            titles: for each rating a digest of the film's title, so that two films with one id count as two.
        """
        films = hash_rows(self.movie_ids, titles)
        return {
            "person and film": hash_rows(self.user_ids, films),
            "person and time": hash_rows(self.user_ids, self.rated_at),
            "film and time": hash_rows(films, self.rated_at),
        }


def hash_rows(*columns: Ints) -> NDArray[np.uint64]:
    """A 64-bit hash of each row: for fingerprints, and for an order that looks random but never changes."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed = _mixed(mixed ^ column.astype(np.int64).view(np.uint64))
    return mixed


def in_order(user_ids: Ints, movie_ids: Ints, stars: Floats, rated_at: Ints, max_version: int) -> Ratings:
    """Ratings from columns in any order.

    People rate several films at one moment. Which of these come first is random, but the same each time: in
    the order of ids, the oldest films would be learnt from and the newest held out.
    """
    order = np.lexsort((hash_rows(user_ids, movie_ids), rated_at, user_ids))
    users, movies = _short(user_ids)[order], _short(movie_ids)[order]
    return Ratings(users, movies, stars.astype(np.float32)[order], rated_at[order], max_version)


def some_people(ratings: Ratings, most: int) -> Ratings:
    """All ratings of people chosen at random, ``most`` ratings at most; everybody's if there are no more."""
    if len(ratings) <= most:
        return ratings
    people, counts = np.unique(ratings.user_ids, return_counts=True)
    order = np.argsort(hash_rows(people))
    chosen = people[order][np.cumsum(counts[order]) <= most]
    return ratings[np.isin(ratings.user_ids, chosen)]


def split_latest(ratings: Ratings, share: float) -> tuple[Ratings, Ratings]:
    """Split into (earlier, latest): the latest ``share`` of every person's ratings, by time.

    People with fewer than :data:`FEWEST_TO_SPLIT` ratings stay whole in the first part, so everyone in
    the second is known to the first; films may be new.
    """
    _, first, counts = np.unique(ratings.user_ids, return_index=True, return_counts=True)
    keep = np.where(counts < FEWEST_TO_SPLIT, counts, np.ceil(counts * (1 - share))).astype(np.int64)
    latest = np.arange(len(ratings)) >= np.repeat(first + keep, counts)
    return ratings[~latest], ratings[latest]


def _short(ids: Ints) -> Ints:
    """The same in half the memory, where the numbers are small enough."""
    bounds = np.iinfo(np.int32)
    fits = not len(ids) or (ids.min() >= bounds.min and ids.max() <= bounds.max)
    return ids.astype(np.int32) if fits else ids


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread whole numbers over all of 64 bits (SplitMix64: Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
