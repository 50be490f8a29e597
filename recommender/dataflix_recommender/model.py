"""The arrays of a model, and one person's ratings as places in these arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

UNKNOWN = -1


class ModelError(ValueError):
    """The arrays do not make a model, or the file is damaged or of another format; the message says which."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one person has rated, each film once, the newest rating of each.

    Attributes:
        user: place of the person in the model's ``user_ids``; -1 for someone it has not seen, and for
            someone whose ratings have changed since it learnt from them:
            see :meth:`Model.profile_from_ratings`.
        items: places in the model's ``item_ids``, rising; films that the model does not know are left out.
        ratings: their ratings, in stars.
        fresh: which of them the model was not trained with.
    """

    user: int
    items: IntArray
    ratings: FloatArray
    fresh: NDArray[np.bool_]


@dataclass(frozen=True)
class Model:
    """Everything that predicting and ranking need; U users, I items, F factors.

    Attributes:
        user_ids: (U,) int64, rising.
        item_ids: (I,) int64, rising; films that nobody has rated too.
        user_bias: (U,) float32, in stars.
        item_bias: (I,) float32, in stars.
        user_factors: (U, F) float32.
        item_factors: (I, F) float32.
        ridge: (F + 1,) float64; how strongly :func:`~dataflix_recommender.fold_in` regularises a new
            person's bias and factors.
        history_start: (U + 1,) int64; the ratings of user u are ``history_*[start[u]:start[u + 1]]``.
        history_items: (R,) int32, places in ``item_ids``, rising for each user.
        history_halves: (R,) uint8, ratings in half stars.
        ranker_start: (I + 1,) int64; the row of item i is ``ranker_*[start[i]:start[i + 1]]``.
        ranker_items: (W,) int32, rising in each row.
        ranker_weights: (W,) float32; how much liking the row's item speaks for the other one.
        popularity: (I,) float32 from 0 to 1: the Bayesian popularity, by which films are ordered for someone
            without ratings; 0 for films without ratings.
        rating_counts: (I,) int32.
        global_mean: in stars.
        rating_min: the lowest rating that can be given, in stars.
        rating_max: the highest.
        max_version: the newest change among the ratings that it was trained with (an LSN): ratings with a
            greater version are fresh.
        item_titles: (I,) int64, digests of the films' titles; None in models made before these were kept. See
            :mod:`dataflix_recommender.catalogue_match`.
        item_years: (I,) int16, the films' years of release; None as above.
        svd_user_bias: (U,) float32; Surprise's SVD, kept for comparison; None where it predicts the stars.
        svd_item_bias: (I,) float32; as above.
        svd_user_factors: (U, S) float32; as above.
        svd_item_factors: (I, S) float32; as above.
        item_variance: (I,) float32, in stars squared: the variance that uncertainty about a film adds to a
            prediction. None where what predicts the stars does not say.
        noise: in stars squared: the variance of a rating that remains when person and film are fully known.
            None as above.
        calibration: what standard deviations are multiplied by, so that 68 % of ratings lie within one. None
            as above.
        watched: how much a rating equal to someone's own mean speaks for similar films, in stars; None in
            models made before it was tuned.
    """

    user_ids: IntArray
    item_ids: IntArray
    user_bias: FloatArray
    item_bias: FloatArray
    user_factors: FloatArray
    item_factors: FloatArray
    ridge: FloatArray
    history_start: IntArray
    history_items: IntArray
    history_halves: IntArray
    ranker_start: IntArray
    ranker_items: IntArray
    ranker_weights: FloatArray
    popularity: FloatArray
    rating_counts: IntArray
    global_mean: float
    rating_min: float
    rating_max: float
    max_version: int
    item_titles: IntArray | None = None
    item_years: IntArray | None = None
    svd_user_bias: FloatArray | None = None
    svd_item_bias: FloatArray | None = None
    svd_user_factors: FloatArray | None = None
    svd_item_factors: FloatArray | None = None
    item_variance: FloatArray | None = None
    noise: float | None = None
    calibration: float | None = None
    watched: float | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            ModelError: says which.
        """
        users, items = len(self.user_ids), len(self.item_ids)
        factors = self.item_factors.shape[-1]
        shapes: dict[str, tuple[int, ...]] = {
            "user_bias": (users,),
            "item_bias": (items,),
            "user_factors": (users, factors),
            "item_factors": (items, factors),
            "ridge": (factors + 1,),
            "history_start": (users + 1,),
            "ranker_start": (items + 1,),
            "popularity": (items,),
            "rating_counts": (items,),
        }
        if (self.item_titles is None) != (self.item_years is None):
            raise ModelError("item_titles and item_years belong together")
        if self.item_titles is not None:
            shapes |= {"item_titles": (items,), "item_years": (items,)}
        if self.item_variance is not None:
            shapes |= {"item_variance": (items,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ModelError(f"{name} has the shape {getattr(self, name).shape}, not {shape}")
        for name in ("user_ids", "item_ids"):
            if not _rises(getattr(self, name)):
                raise ModelError(f"{name} must rise: ids are looked up by bisection")
        _check_rows("history", self.history_start, self.history_items, self.history_halves, items)
        _check_rows("ranker", self.ranker_start, self.ranker_items, self.ranker_weights, items)

    @cached_property
    def new_items(self) -> IntArray:
        """Places of the films that nobody has rated."""
        return np.flatnonzero(self.rating_counts == 0)

    def items(self, ids: ArrayLike) -> IntArray:
        """Places of films in the arrays; -1 for those that the model does not know."""
        return places(self.item_ids, np.asarray(ids, np.int64))

    def user(self, user_id: int) -> int:
        """Place of a person in the arrays; -1 for someone the model does not know."""
        return int(places(self.user_ids, np.asarray([user_id], np.int64))[0])

    def profile(self, user_id: int, fresh: Mapping[int, float] | None = None) -> Profile:
        """A person's ratings: those that the model was trained with, and newer ones, which replace them.

        Args:
            user_id: need not be known.
            fresh: newer ratings in stars by film id; films that the model does not know are passed over.
        """
        user = self.user(user_id)
        start, end = self.history_start[user : user + 2] if user != UNKNOWN else (0, 0)
        items, ratings = self.history_items[start:end], self.history_halves[start:end] / 2.0
        if not fresh:
            return Profile(user, items, ratings, np.zeros(len(items), np.bool_))
        rated = self.items(list(fresh))
        known = rated != UNKNOWN
        rated, newer = rated[known], np.asarray(list(fresh.values()), np.float64)[known]
        kept = ~np.isin(items, rated)
        merged = np.concatenate([items[kept], rated])
        order = np.argsort(merged, kind="stable")
        return Profile(
            user,
            merged[order],
            np.concatenate([ratings[kept], newer])[order],
            np.concatenate([np.zeros(int(kept.sum()), np.bool_), np.ones(len(rated), np.bool_)])[order],
        )

    def profile_from_ratings(self, user_id: int, movie_ids: ArrayLike, stars: ArrayLike) -> Profile:
        """All of a person's ratings as they are now, compared with those that the model was trained with.

        Ratings that the model was trained with are old, all others are fresh. If the model has learnt from a
        rating that was changed or deleted since, nothing that it learnt about the person is used: only the
        current ratings count, as for someone unknown.

        Args:
            user_id: need not be known.
            movie_ids: each film once; those that the model does not know are passed over.
            stars: the ratings.
        """
        rated = self.items(movie_ids)
        known = rated != UNKNOWN
        items, ratings = rated[known], np.asarray(stars, np.float64)[known]
        if np.any(items[1:] < items[:-1]):
            order = np.argsort(items)
            items, ratings = items[order], ratings[order]
        user = self.user(user_id)
        if user == UNKNOWN:
            return Profile(user, items, ratings, np.ones(len(items), np.bool_))
        start, end = self.history_start[user : user + 2]
        old_items, old_halves = self.history_items[start:end], self.history_halves[start:end]
        if np.array_equal(items, old_items) and np.array_equal(ratings * 2, old_halves):
            return Profile(user, items, ratings, np.zeros(len(items), np.bool_))
        same = places(old_items, items)
        unchanged = same != UNKNOWN
        unchanged[unchanged] = old_halves[same[unchanged]] == ratings[unchanged] * 2
        whole = int(unchanged.sum()) == len(old_items)
        return Profile(user if whole else UNKNOWN, items, ratings, ~unchanged)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every field that is not None, as an array, by name; scalars have no dimension."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}


def places(known: IntArray, ids: IntArray) -> IntArray:
    """Places of ids among known ones, which rise; -1 where they are not."""
    if not len(known):
        return np.full(ids.shape, UNKNOWN, np.int64)
    found = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[found] == ids, found, UNKNOWN)


def _rises(ids: IntArray) -> bool:
    return bool(np.all(ids[1:] > ids[:-1]))


def _check_rows(name: str, start: IntArray, items: IntArray, values: NDArray[Any], width: int) -> None:
    """Refuse rows (compressed sparse row form) that point outside of the arrays."""
    fits = len(items) == len(values) == start[-1] and start[0] == 0 and bool(np.all(np.diff(start) >= 0))
    inside = not len(items) or (items.min() >= 0 and items.max() < width)
    if not (fits and inside):
        raise ModelError(f"the rows of {name} do not fit together")
