"""Stars from alternating least squares (ALS), whose factors may be fitted on several machines. No I/O.

This module subtracts the mean and the biases from the ratings (Koren, Bell and Volinsky 2009). The caller
passes the function that factorises these residuals; ``dataflix_training.spark`` has one that uses Spark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import damped_means
from dataflix_training.ratings import Ratings

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

#: A film's mean counts as if so many ratings at the global mean were added, a person's so many at 0.
_FILM_PRIOR, _PERSON_PRIOR = 5.0, 5.0


@dataclass(frozen=True, slots=True)
class Residuals:
    """The ratings less their mean and biases, and the mean and biases themselves.

    Attributes:
        user_ids: (U,) rising.
        item_ids: (I,) rising.
        mean: of all ratings, in stars.
        user_bias: (U,) in stars.
        item_bias: (I,) in stars.
        users: for each rating the place of its person in ``user_ids``.
        items: for each rating the place of its film in ``item_ids``.
        stars: for each rating, its stars less mean and biases.
    """

    user_ids: Ints
    item_ids: Ints
    mean: float
    user_bias: Floats
    item_bias: Floats
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    stars: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AlsSettings:
    """The hyperparameters of a fit.

    Attributes:
        rank: how many factors.
        penalty: regularisation; Spark multiplies it by the number of ratings of the person or film.
        iterations: how often the people's and the films' factors are each solved for.
        seed: of the initial factors.
    """

    rank: int
    penalty: float
    iterations: int
    seed: int


#: Fits factors to residuals: a row for each person, and one for each film.
Factorise = Callable[[Residuals, AlsSettings], tuple[Floats, Floats]]


def residuals(ratings: Ratings) -> Residuals:
    """Subtract from ratings the mean, then the films' damped biases, then the people's."""
    user_ids, users = np.unique(ratings.user_ids, return_inverse=True)
    item_ids, items = np.unique(ratings.movie_ids, return_inverse=True)
    mean = ratings.mean()
    left = ratings.stars.astype(np.float64) - mean
    item_bias = _biases(items, left, len(item_ids), _FILM_PRIOR)
    left -= item_bias[items]
    user_bias = _biases(users, left, len(user_ids), _PERSON_PRIOR)
    left -= user_bias[users]
    places = users.astype(np.int32), items.astype(np.int32)
    return Residuals(user_ids, item_ids, mean, user_bias, item_bias, *places, left.astype(np.float32))


def _biases(places: Ints, left: Floats, size: int, prior: float) -> Floats:
    counts, sums = np.bincount(places, minlength=size), np.bincount(places, left, size)
    return damped_means(counts, np.asarray(sums, np.float64), 0.0, prior)
