"""Make a model from ratings and a recipe. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dataflix_contract.schema import LEAST_STARS, MOST_STARS
from dataflix_recommender import Model, places, popularity
from dataflix_training.als import AlsSettings, Factorise, residuals
from dataflix_training.ease import RankerData, SparseRows, no_rows
from dataflix_training.film_features import Film, catalogue_ids, film_features
from dataflix_training.ratings import Ratings
from dataflix_training.svd import SVD, ArrayTrainset
from dataflix_training.vbmf import VBMF

#: A parameter that is the same for everybody would otherwise be regularised without limit.
_LEAST_VARIANCE = 1e-6

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
AfterEpoch = Callable[["Factors", int], bool]
#: What predicts stars.
SVD_STARS, VBMF_STARS, ALS_STARS = "svd", "vbmf", "als"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters; the defaults of the SVD's are Surprise's.

    Attributes:
        factors: of the SVD.
        epochs: of the SVD.
        learning_rate: of all parameters of the SVD.
        penalty: regularisation of all parameters of the SVD.
        stars: what predicts them: :data:`VBMF_STARS`, :data:`SVD_STARS` or :data:`ALS_STARS`.
        vbmf_factors: of VB-MF.
        vbmf_epochs: its sweeps.
        als_factors: of ALS.
        als_penalty: its regularisation.
        als_epochs: its iterations.
        ranker_penalty: regularisation of the ranker (EASE's lambda).
        ranker_self: how much of itself a film may explain (RLAE's xi); more lifts films that few have rated.
        watched: how much a rating equal to someone's own mean speaks for similar films, in stars.
        ranker_fewest: the item-item matrix does not cover films with fewer ratings.
        ranker_most: the matrix covers this many films at most, the most rated ones: its cost is cubic.
        ranker_row: how many weights of each film are kept.
        seed: of the factors that the SVD, VB-MF and ALS begin with.
    """

    factors: int = 100
    epochs: int = 20
    learning_rate: float = 0.005
    penalty: float = 0.02
    stars: str = SVD_STARS
    vbmf_factors: int = 12
    vbmf_epochs: int = 20
    als_factors: int = 32
    als_penalty: float = 0.15
    als_epochs: int = 10
    ranker_penalty: float = 200.0
    ranker_self: float = 0.2
    watched: float = 0.5
    ranker_fewest: int = 5
    ranker_most: int = 5000
    ranker_row: int = 200
    seed: int = 0

    def to_json(self) -> str:
        """As text, for a tag."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """From text.

        Raises:
            ValueError: it is no recipe that this program knows.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not a recipe: {error}") from error


@dataclass(frozen=True, slots=True)
class StarsUncertainty:
    """How uncertain VB-MF is.

    Attributes:
        ridge: (F + 1,) the noise over the variances of people's bias and factors.
        noise: in stars squared.
        item_variance: (I,) the variance that uncertainty about a film adds to a prediction, in stars squared.
    """

    ridge: Floats
    noise: float
    item_variance: Floats


@dataclass(frozen=True, slots=True)
class Factors:
    """What predicts stars: a fitted SVD or ALS, or VB-MF, which also says how uncertain it is; ids rise.

    Attributes:
        user_ids: (U,).
        item_ids: (I,) with VB-MF also films that nobody has rated, predicted from their features.
        mean: of all ratings, in stars.
        user_bias: (U,).
        item_bias: (I,).
        user_factors: (U, F).
        item_factors: (I, F).
        uncertain: what VB-MF says beyond that; None: it is the SVD or ALS.
    """

    user_ids: Ints
    item_ids: Ints
    mean: float
    user_bias: Floats
    item_bias: Floats
    user_factors: Floats
    item_factors: Floats
    uncertain: StarsUncertainty | None = None

    def predict(self, user_ids: Ints, item_ids: Ints) -> NDArray[np.float64]:
        """Predict stars of pairs, within the scale; someone or something unknown adds nothing to the mean."""
        users, items = places(self.user_ids, user_ids), places(self.item_ids, item_ids)
        stars = np.full(len(users), self.mean)
        stars[users >= 0] += self.user_bias[users[users >= 0]]
        stars[items >= 0] += self.item_bias[items[items >= 0]]
        _add_products(stars, users, items, self.user_factors, self.item_factors)
        return np.asarray(np.clip(stars, LEAST_STARS, MOST_STARS), np.float64)

    def of_items(self, item_ids: Ints) -> Factors:
        """The same for other films: zeros for those that nothing was learnt about."""
        at = places(self.item_ids, item_ids)
        bias = np.where(at >= 0, self.item_bias[at], 0)
        factors = np.where(at[:, np.newaxis] >= 0, self.item_factors[at], 0)
        return replace(self, item_ids=item_ids, item_bias=bias, item_factors=factors)


@numba.njit(cache=True, fastmath=True)
def _add_products(
    stars: Floats, users: Ints, items: Ints, user_factors: Floats, item_factors: Floats
) -> None:
    """Add each pair's product of factors, where both are known, without a copy of all factors."""
    for row in range(len(stars)):
        user, item = users[row], items[row]
        if user >= 0 and item >= 0:
            product = 0.0
            for factor in range(user_factors.shape[1]):
                product += user_factors[user, factor] * item_factors[item, factor]
            stars[row] += product


def fit_svd(ratings: Ratings, recipe: Recipe, after_epoch: AfterEpoch | None = None) -> Factors:
    """Fit the SVD that predicts stars, in the fast mode.

    Args:
        ratings: to learn from.
        recipe: factors, epochs, rates and seed.
        after_epoch: called with the factors so far and the number of epochs done; True ends the fit there.
    """
    trainset = ArrayTrainset(ratings.user_ids, ratings.movie_ids, ratings.stars, (LEAST_STARS, MOST_STARS))
    users, items = np.argsort(trainset.raw_users), np.argsort(trainset.raw_items)

    def factors(svd: SVD) -> Factors:
        return Factors(
            trainset.raw_users[users],
            trainset.raw_items[items],
            float(trainset.global_mean),
            svd.bu[users],
            svd.bi[items],
            svd.pu[users],
            svd.qi[items],
        )

    svd = SVD(
        fast=True,
        after_epoch=after_epoch and (lambda svd, done: after_epoch(factors(svd), done)),
        n_factors=recipe.factors,
        n_epochs=recipe.epochs,
        lr_all=recipe.learning_rate,
        reg_all=recipe.penalty,
        random_state=recipe.seed,
    )
    return factors(svd.fit(trainset))


def fit_vbmf(ratings: Ratings, recipe: Recipe, films: Mapping[int, Film]) -> Factors:
    """Fit VB-MF, the films' prior being learnt from their genres, years and numbers of ratings.

    Args:
        ratings: to learn from.
        recipe: factors, sweeps and seed.
        films: the catalogue; stars are predicted for those that nobody has rated too.
    """
    trainset = ArrayTrainset(ratings.user_ids, ratings.movie_ids, ratings.stars, (LEAST_STARS, MOST_STARS))
    users, items = np.argsort(trainset.raw_users), np.argsort(trainset.raw_items)
    item_ids = catalogue_ids(trainset.raw_items, films)
    rated = np.searchsorted(item_ids, trainset.raw_items[items])
    counts = np.zeros(len(item_ids), np.int64)
    counts[rated] = np.bincount(trainset.inner_items)[items]
    features = film_features(item_ids, counts, films)
    vbmf = VBMF(
        dict(zip(item_ids[rated].tolist(), features[rated], strict=True)),
        n_factors=recipe.vbmf_factors,
        n_epochs=recipe.vbmf_epochs,
        random_state=recipe.seed,
    ).fit(trainset)
    means, unknown = vbmf.prior_of(features), np.tile(vbmf.item_variances, (len(item_ids), 1))
    means[rated], unknown[rated] = vbmf.items[items], vbmf.item_unknown[items]
    return Factors(
        trainset.raw_users[users],
        item_ids,
        vbmf.mean,
        vbmf.users[users, 0],
        means[:, 0],
        vbmf.users[users, 1:],
        means[:, 1:],
        StarsUncertainty(
            vbmf.noise / np.maximum(vbmf.user_variances, _LEAST_VARIANCE),
            vbmf.noise,
            unknown[:, 0] + unknown[:, 1:] @ vbmf.user_variances[1:],
        ),
    )


def fit_als(ratings: Ratings, recipe: Recipe, factorise: Factorise) -> Factors:
    """Fit ALS: the mean and the biases here, the factors by ``factorise``."""
    left = residuals(ratings)
    settings = AlsSettings(recipe.als_factors, recipe.als_penalty, recipe.als_epochs, recipe.seed)
    return Factors(
        left.user_ids, left.item_ids, left.mean, left.user_bias, left.item_bias, *factorise(left, settings)
    )


def fit_stars(
    ratings: Ratings, recipe: Recipe, films: Mapping[int, Film], factorise: Factorise | None = None
) -> Factors:
    """Fit what the recipe predicts stars with; ALS needs ``factorise``."""
    if recipe.stars == ALS_STARS:
        if factorise is None:
            raise ValueError("a recipe with ALS needs what factorises")
        return fit_als(ratings, recipe, factorise)
    return fit_vbmf(ratings, recipe, films) if recipe.stars == VBMF_STARS else fit_svd(ratings, recipe)


def fit_ranker(ratings: Ratings, recipe: Recipe, films: Mapping[int, Film]) -> SparseRows:
    """Fit the ranker alone, for the whole catalogue."""
    return RankerData(ratings, recipe, films).fit_catalogue(recipe)


def assemble(  # noqa: PLR0913, PLR0917 - it puts them together
    ratings: Ratings,
    factors: Factors,
    ranker: SparseRows,
    item_ids: Ints,
    noise: float,
    watched: float,
) -> Model:
    """Put a model together.

    Args:
        ratings: those that both parts were fitted on.
        factors: what predicts stars.
        ranker: its rows, one for each film.
        item_ids: of all films, rising; those that nobody has rated too.
        noise: variance of a held-out rating around the prediction, in stars squared; VB-MF has its own.
        watched: the recipe's.
    """
    if not np.array_equal(factors.item_ids, item_ids):
        factors = factors.of_items(item_ids)
    items = np.searchsorted(item_ids, ratings.movie_ids)
    users = np.searchsorted(factors.user_ids, ratings.user_ids)
    by_user = np.lexsort((items, users))
    counts, sums = rating_sums(items, ratings.stars, len(item_ids))
    rated = counts > 0
    popular = np.zeros(len(item_ids), np.float32)
    popular[rated] = popularity(counts[rated], sums[rated], ratings.mean())
    people = np.column_stack([factors.user_bias, factors.user_factors])
    ridge = noise / np.maximum(people.var(axis=0), _LEAST_VARIANCE)
    return Model(
        user_ids=factors.user_ids,
        item_ids=item_ids,
        user_bias=factors.user_bias.astype(np.float32),
        item_bias=factors.item_bias.astype(np.float32),
        user_factors=factors.user_factors.astype(np.float32),
        item_factors=factors.item_factors.astype(np.float32),
        history_start=np.searchsorted(users[by_user], np.arange(len(factors.user_ids) + 1)),
        history_items=items[by_user].astype(np.int32),
        history_halves=np.rint(2 * ratings.stars[by_user]).astype(np.uint8),
        ranker_start=ranker.start,
        ranker_items=ranker.items,
        ranker_weights=ranker.weights,
        popularity=popular,
        rating_counts=counts.astype(np.int32),
        global_mean=factors.mean,
        rating_min=LEAST_STARS,
        rating_max=MOST_STARS,
        max_version=ratings.max_version,
        watched=watched,
        **{"ridge": ridge} | _arrays(factors.uncertain),
    )


def _arrays(uncertain: StarsUncertainty | None) -> dict[str, Any]:
    """The fields of a model that only VB-MF gives, and its own ridge; none for the others."""
    if uncertain is None:
        return {}
    return {
        "ridge": uncertain.ridge,
        "noise": uncertain.noise,
        "calibration": 1.0,
        "item_variance": uncertain.item_variance.astype(np.float32),
    }


def stars_alone(ratings: Ratings, factors: Factors) -> Model:
    """A model without a ranker, for predicting stars only."""
    return assemble(ratings, factors, no_rows(len(factors.item_ids)), factors.item_ids, 1.0, 0.0)


def with_ranker(model: Model, rows: SparseRows) -> Model:
    """The model with another ranker."""
    return replace(model, ranker_start=rows.start, ranker_items=rows.items, ranker_weights=rows.weights)


def with_svd(model: Model, svd: Factors) -> Model:
    """The model with Surprise's SVD beside what predicts the stars."""
    svd = svd.of_items(model.item_ids)
    return replace(
        model,
        svd_user_bias=svd.user_bias.astype(np.float32),
        svd_item_bias=svd.item_bias.astype(np.float32),
        svd_user_factors=svd.user_factors.astype(np.float32),
        svd_item_factors=svd.item_factors.astype(np.float32),
    )


def rating_sums(items: Ints, stars: Floats, n_items: int) -> tuple[Ints, Floats]:
    """How many ratings each item has, and the sum of their stars."""
    counts: Ints = np.bincount(items, minlength=n_items)
    sums: Floats = np.asarray(np.bincount(items, stars, n_items), np.float64)
    return counts, sums
