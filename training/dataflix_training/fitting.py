"""Make a model from ratings and a recipe. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import Model, identities, popularity
from dataflix_training.ease import SparseRows, co_ratings, covered_items, inverse, item_weights, strongest
from dataflix_training.ratings import Ratings
from dataflix_training.recipe import Recipe
from dataflix_training.svd import SVD, ArrayTrainset

RATING_MIN, RATING_MAX = 0.5, 5.0
#: Parameters of which nobody varies would otherwise be held back without limit.
_LEAST_VARIANCE = 1e-6

#: Title and year.
Film = tuple[str, int | None]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
AfterEpoch = Callable[["Factors", int], bool]


@dataclass(frozen=True, slots=True)
class Factors:
    """A fitted SVD, in the order of rising ids.

    Attributes:
        user_ids: (U,).
        item_ids: (I,).
        mean: of all ratings, in stars.
        user_bias: (U,).
        item_bias: (I,).
        user_factors: (U, F).
        item_factors: (I, F).
    """

    user_ids: Ints
    item_ids: Ints
    mean: float
    user_bias: Floats
    item_bias: Floats
    user_factors: Floats
    item_factors: Floats

    def predict(self, user_ids: Ints, item_ids: Ints) -> NDArray[np.float64]:
        """Stars of pairs, within the scale; the unknown counts as the mean, as in Surprise."""
        users, known_user = _places(self.user_ids, user_ids)
        items, known_item = _places(self.item_ids, item_ids)
        stars = self.mean + np.where(known_user, self.user_bias[users], 0)
        stars += np.where(known_item, self.item_bias[items], 0)
        both = known_user & known_item
        stars[both] += np.einsum("nf,nf->n", self.user_factors[users[both]], self.item_factors[items[both]])
        return np.clip(stars, RATING_MIN, RATING_MAX)


def fit_svd(ratings: Ratings, recipe: Recipe, after_epoch: AfterEpoch | None = None) -> Factors:
    """Fit the SVD that predicts stars, in the fast mode.

    Args:
        ratings: to learn from.
        recipe: factors, epochs, rates and seed.
        after_epoch: called with the state of things and the epochs done; True ends the fit there.
    """
    trainset = ArrayTrainset(ratings.user_ids, ratings.movie_ids, ratings.stars, (RATING_MIN, RATING_MAX))
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


class RankerData:
    """What fitting rankers on the same ratings needs: counted once, and the last inverse is kept."""

    def __init__(self, ratings: Ratings, recipe: Recipe) -> None:
        _, users = np.unique(ratings.user_ids, return_inverse=True)
        item_ids, items = np.unique(ratings.movie_ids, return_inverse=True)
        self._n_items = len(item_ids)
        self._covered = covered_items(items, self._n_items, recipe.ranker_fewest, recipe.ranker_most)
        self._gram = co_ratings(users, items, self._covered, self._n_items)
        self._inverse = np.zeros((0, 0))
        self._penalty: float | None = None

    def fit(self, recipe: Recipe) -> SparseRows:
        """The ranker's rows, for all films in the order of rising ids."""
        if not len(self._covered):
            return SparseRows(
                np.zeros(self._n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
            )
        if recipe.ranker_penalty != self._penalty:
            self._inverse = inverse(self._gram, recipe.ranker_penalty)
            self._penalty = recipe.ranker_penalty
        weights = item_weights(self._inverse, recipe.ranker_penalty, recipe.ranker_self)
        return strongest(weights, self._covered, self._n_items, recipe.ranker_row)


def fit_ranker(ratings: Ratings, recipe: Recipe) -> SparseRows:
    """Fit the ranker alone."""
    return RankerData(ratings, recipe).fit(recipe)


def assemble(ratings: Ratings, factors: Factors, ranker: SparseRows, noise: float, watched: float) -> Model:
    """Put a model together.

    Args:
        ratings: those that both parts were fitted on.
        factors: the SVD.
        ranker: its rows.
        noise: variance of a held-out rating around its prediction, in stars squared.
        watched: the recipe's.
    """
    items = np.searchsorted(factors.item_ids, ratings.movie_ids)
    users = np.searchsorted(factors.user_ids, ratings.user_ids)
    by_user = np.lexsort((items, users))
    counts, sums = rating_sums(items, ratings.stars, len(factors.item_ids))
    people = np.column_stack([factors.user_bias, factors.user_factors])
    return Model(
        user_ids=factors.user_ids,
        item_ids=factors.item_ids,
        user_bias=factors.user_bias.astype(np.float32),
        item_bias=factors.item_bias.astype(np.float32),
        user_factors=factors.user_factors.astype(np.float32),
        item_factors=factors.item_factors.astype(np.float32),
        ridge=noise / np.maximum(people.var(axis=0), _LEAST_VARIANCE),
        history_start=np.searchsorted(users[by_user], np.arange(len(factors.user_ids) + 1)),
        history_items=items[by_user].astype(np.int32),
        history_halves=np.rint(2 * ratings.stars[by_user]).astype(np.uint8),
        ranker_start=ranker.start,
        ranker_items=ranker.items,
        ranker_weights=ranker.weights,
        popularity=popularity(counts, sums, ratings.stars.mean()).astype(np.float32),
        rating_counts=counts.astype(np.int32),
        global_mean=factors.mean,
        rating_min=RATING_MIN,
        rating_max=RATING_MAX,
        max_version=ratings.max_version,
        watched=watched,
    )


def with_films(model: Model, films: Mapping[int, Film]) -> Model:
    """The model with the titles and years of its films: what it belongs to.

    Args:
        model: the model.
        films: of the catalogue, by id; films that are not there count as unknown.
    """
    titles, years = identities(films.get(movie_id) for movie_id in model.item_ids.tolist())
    return replace(model, item_titles=titles, item_years=years)


def title_digests(ratings: Ratings, films: Mapping[int, Film]) -> NDArray[np.int64]:
    """For each rating the digest of its film's title."""
    movie_ids, places = np.unique(ratings.movie_ids, return_inverse=True)
    titles, _ = identities(films.get(movie_id) for movie_id in movie_ids.tolist())
    return np.asarray(titles[places], np.int64)


def rating_sums(items: Ints, stars: Floats, n_items: int) -> tuple[Ints, Floats]:
    """How many ratings each item has, and the sum of their stars."""
    counts: Ints = np.bincount(items, minlength=n_items)
    sums: Floats = np.asarray(np.bincount(items, stars, n_items), np.float64)
    return counts, sums


def _places(known: Ints, ids: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return places, known[places] == ids
