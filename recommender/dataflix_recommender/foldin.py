"""Predict stars, for someone whose ratings are newer than the model too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dataflix_recommender.model import UNKNOWN, FloatArray, IntArray, Model, Profile


@dataclass(frozen=True, slots=True)
class Taste:
    """A person in the SVD's terms.

    Attributes:
        bias: how much kinder than the mean, in stars.
        factors: (F,).
    """

    bias: float
    factors: FloatArray


def fold_in(model: Model, profile: Profile) -> Taste:
    """A person's bias and factors after the fresh ratings, with the films' side left as it is.

    With x = (bias, factors), rows a = (1, film's factors) and targets y = rating - mean - film's bias,
    the fresh ratings move x from what training found, x0, to the minimum of

        sum over fresh (y - a x)^2 + sum over old (a (x - x0))^2 + (x - x0)' diag(ridge) (x - x0)

    so x = x0 + (A'A + diag(ridge))^-1 A_fresh' (y_fresh - A_fresh x0), A having the rows of all ratings.
    That is recursive least squares: old ratings keep their say, and without a fresh rating nothing moves.
    Someone unknown has x0 = 0, and every rating is fresh, which makes it the ridge regression of one
    half-step of ALS (Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender
    systems"), with the ridge of probabilistic matrix factorisation (Salakhutdinov and Mnih 2008): noise
    over prior variance.

    With fewer ratings than parameters the same x is found by the smaller system of the two:
    (A'A + D)^-1 A' m = D^-1 A' (A D^-1 A' + I)^-1 m.
    """
    before = _trained(model, profile.user)
    fresh = profile.fresh if profile.user != UNKNOWN else np.ones(len(profile.items), np.bool_)
    if not fresh.any():
        return Taste(float(before[0]), before[1:])
    rows = _rows(model, profile.items)
    missed = profile.ratings - model.global_mean - model.item_bias[profile.items] - rows @ before
    missed[~fresh] = 0
    after = before + _pulled(rows, missed, model.ridge)
    return Taste(float(after[0]), after[1:])


def predict_stars(model: Model, taste: Taste, item_ids: ArrayLike) -> FloatArray:
    """Stars that a person would give, within the rating scale; one for each film id.

    mean + person's bias + film's bias + factors' product, as in Surprise's SVD: a film that the model
    does not know gets the mean and the person's bias.
    """
    places = model.items(item_ids)
    known = places != UNKNOWN
    stars = np.full(places.shape, model.global_mean + taste.bias)
    stars[known] += model.item_bias[places[known]] + model.item_factors[places[known]] @ taste.factors
    return np.asarray(np.clip(stars, model.rating_min, model.rating_max))


def _pulled(rows: FloatArray, missed: FloatArray, ridge: FloatArray) -> FloatArray:
    """(rows'rows + diag(ridge))^-1 rows' missed."""
    if len(rows) >= len(ridge):
        return np.asarray(np.linalg.solve(rows.T @ rows + np.diag(ridge), rows.T @ missed))
    eased = rows / ridge
    system = eased @ rows.T
    system.ravel()[:: len(rows) + 1] += 1  # the diagonal
    return np.asarray(np.linalg.solve(system, missed) @ eased)


def _trained(model: Model, user: int) -> FloatArray:
    trained = np.zeros(model.item_factors.shape[1] + 1)
    if user != UNKNOWN:
        trained[0], trained[1:] = model.user_bias[user], model.user_factors[user]
    return trained


def _rows(model: Model, items: IntArray) -> FloatArray:
    rows = np.ones((len(items), model.item_factors.shape[1] + 1))
    rows[:, 1:] = model.item_factors[items]
    return rows
