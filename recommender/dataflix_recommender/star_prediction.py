"""Predict the stars that someone would give, also from ratings that are newer than the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dataflix_recommender.model import UNKNOWN, FloatArray, IntArray, Model, Profile


@dataclass(frozen=True, slots=True)
class Taste:
    """A person's bias and factors, from which stars are predicted.

    Attributes:
        bias: how far above the mean the person rates, in stars.
        factors: (F,).
        covariance: (F + 1, F + 1) of bias and factors: how uncertain they are. None where the model does not
            say.
    """

    bias: float
    factors: FloatArray
    covariance: FloatArray | None = None


def fold_in(model: Model, profile: Profile) -> Taste:
    """A person's bias and factors after the fresh ratings, with the films' side left as it is.

    With x = (bias, factors), rows a = (1, film's factors) and targets y = rating - mean - film's bias,
    the fresh ratings move x from what training found, x0, to the minimum of

        sum over fresh (y - a x)^2 + sum over old (a (x - x0))^2 + (x - x0)' diag(ridge) (x - x0)

    so x = x0 + (A'A + diag(ridge))^-1 A_fresh' (y_fresh - A_fresh x0), A having the rows of all ratings.
    This is recursive least squares: old ratings keep their influence, and without a fresh rating nothing
    moves.
    Someone unknown has x0 = 0, and every rating is fresh, which makes it the ridge regression of one
    half-step of ALS (Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender
    systems"), with the ridge of probabilistic matrix factorisation (Salakhutdinov and Mnih 2008): noise
    over prior variance.

    Where the model says how uncertain it is about each film, a film's rows count less the more uncertain it
    is: their noise is the model's noise plus the film's variance. The covariance is the noise times the
    inverse of A'A + diag(ridge), with the rows weighted in this way.

    Otherwise, with fewer ratings than parameters, the same x is found by solving the smaller of two systems,
    where D = diag(ridge) and m is y - A x0 for fresh ratings and 0 for old ones:
    (A'A + D)^-1 A' m = D^-1 A' (A D^-1 A' + I)^-1 m.
    """
    before = _trained(model, profile.user)
    fresh = profile.fresh if profile.user != UNKNOWN else np.ones(len(profile.items), np.bool_)
    if not fresh.any() and model.item_variance is None:
        return Taste(float(before[0]), before[1:])
    rows = _rows(model, profile.items)
    missed = profile.ratings - model.global_mean - model.item_bias[profile.items] - rows @ before
    missed[~fresh] = 0
    if model.item_variance is None or model.noise is None:
        after = before + _pulled(rows, missed, model.ridge)
        return Taste(float(after[0]), after[1:])
    counts = model.noise / (model.noise + model.item_variance[profile.items])
    counted = rows * counts[:, np.newaxis]
    inverse = np.linalg.inv(counted.T @ rows + np.diag(model.ridge))
    after = before + inverse @ (missed @ counted)
    return Taste(float(after[0]), after[1:], model.noise * inverse)


def predict_stars(model: Model, taste: Taste, item_ids: ArrayLike) -> FloatArray:
    """Stars that a person would give, within the rating scale; one for each film id.

    mean + person's bias + film's bias + factors' product, as in Surprise's SVD: a film that the model
    does not know gets the mean and the person's bias.
    """
    films = _films(model, item_ids)
    stars = model.global_mean + taste.bias + films.bias + films.factors @ taste.factors
    return np.asarray(np.clip(stars, model.rating_min, model.rating_max))


def stars_deviation(model: Model, taste: Taste, item_ids: ArrayLike) -> FloatArray | None:
    """Standard deviations of ratings around :func:`predict_stars`: 68 % of them lie within one.

    They combine the noise, the uncertainty about the film and that about the person. None: the model does not
    say.
    """
    if model.noise is None or model.calibration is None or taste.covariance is None:
        return None
    films = _films(model, item_ids)
    rows = np.column_stack([np.ones(len(films.factors)), films.factors])
    of_person = np.einsum("nf,fg,ng->n", rows, taste.covariance, rows)
    return np.asarray(model.calibration * np.sqrt(model.noise + films.variance + of_person))


@dataclass(frozen=True, slots=True)
class _Films:
    bias: FloatArray
    factors: FloatArray
    variance: FloatArray


def _films(model: Model, item_ids: ArrayLike) -> _Films:
    """The films' part in predictions of stars: zeros for films that the model knows nothing about."""
    at = model.items(item_ids)
    known = at != UNKNOWN
    factors = np.where(known[:, np.newaxis], model.item_factors[at], 0)
    spread = np.zeros(len(at)) if model.item_variance is None else np.where(known, model.item_variance[at], 0)
    return _Films(np.where(known, model.item_bias[at], 0), factors, spread)


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
