"""Evaluate models by ratings that they have not seen, those of the holdout. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import Model, damped_means, fold_in, predict_stars, rank, stars_deviation
from dataflix_training.fitting import Factors, rating_sums
from dataflix_training.ratings import Ratings
from dataflix_training.scores import (
    LIKED,
    SHOWN,
    Judgement,
    NewCases,
    Ranked,
    errors,
    judgement,
    ranking_scores,
    squared_errors,
)

#: Rankings are judged by so many people at most, evenly spread over their ids.
MOST_PEOPLE = 3000
#: The prior of the popularity baseline's stars, in ratings at the global mean.
_BASELINE_PRIOR = 5.0
_PEOPLE_AT_ONCE = 500

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class HoldoutUsers:
    """The users that rankings are evaluated by.

    Attributes:
        user_ids: who.
        liked: for each of them the films that they came to like in the held-out part.
        catalogue: ids of all films that could be shown, rising.
        seen: for each of them the places in the catalogue of the films that they had rated before.
    """

    user_ids: Ints
    liked: list[Ints]
    catalogue: Ints
    seen: list[Ints]


def holdout_users(known: Ratings, held_out: Ratings, most: int = MOST_PEOPLE) -> HoldoutUsers:
    """Users who liked a film of the held-out part; ``most`` of them at most, evenly spread over their ids."""
    good = held_out[held_out.stars >= LIKED]
    people = np.unique(good.user_ids)
    if len(people) > most:
        people = people[np.linspace(0, len(people) - 1, most).astype(np.int64)]
    catalogue = np.unique(known.movie_ids)
    return HoldoutUsers(
        people,
        _grouped(good, people, good.movie_ids),
        catalogue,
        _grouped(known, people, np.searchsorted(catalogue, known.movie_ids)),
    )


def in_deviations(model: Model, held_out: Ratings) -> Floats | None:
    """How far held-out ratings lie from what is predicted, in the standard deviations that replies come with.

    Of :data:`MOST_PEOPLE` people at most. None: the model gives no standard deviations.
    """
    people = np.unique(held_out.user_ids)
    people = people[np.linspace(0, len(people) - 1, min(len(people), MOST_PEOPLE)).astype(np.int64)]
    found = []
    for user, movies, stars in zip(
        people.tolist(),
        _grouped(held_out, people, held_out.movie_ids),
        _grouped(held_out, people, held_out.stars),
        strict=True,
    ):
        taste = fold_in(model, model.profile(user))
        deviation = stars_deviation(model, taste, movies)
        if deviation is None:
            return None
        found.append(np.abs(predict_stars(model, taste, movies) - stars) / deviation)
    return np.concatenate(found)


def evaluate_ranker(model: Model, holdout: HoldoutUsers) -> Ranked:
    """A model's rankings, made as serving makes them."""
    shown = [rank(model, model.profile(int(user)), SHOWN).item_ids for user in holdout.user_ids]
    return ranking_scores(shown, holdout.liked, len(holdout.catalogue))


def evaluate_model(
    model: Model, factors: Factors, holdout: HoldoutUsers, held_out: Ratings, new: NewCases | None
) -> Judgement:
    """Stars and rankings of the whole package, and what it was to new people."""
    predicted = factors.predict(held_out.user_ids, held_out.movie_ids)
    judged = _judged(predicted, held_out, evaluate_ranker(model, holdout), new)
    apart = in_deviations(model, held_out)
    if apart is None:
        return judged
    return replace(judged, scores=replace(judged.scores, within_deviation=float(np.mean(apart <= 1))))


def evaluate_svd(factors: Factors, holdout: HoldoutUsers, held_out: Ratings) -> Judgement:
    """Stars of an SVD, and the rankings that come of ordering by its stars."""
    shown: list[Ints] = []
    users = np.searchsorted(factors.user_ids, holdout.user_ids)
    for first in range(0, len(users), _PEOPLE_AT_ONCE):
        some = users[first : first + _PEOPLE_AT_ONCE]
        stars = factors.item_bias + factors.user_factors[some] @ factors.item_factors.T
        for row, seen in zip(stars, holdout.seen[first : first + _PEOPLE_AT_ONCE], strict=True):
            shown.append(holdout.catalogue[_best(row, seen)])
    ranked = ranking_scores(shown, holdout.liked, len(holdout.catalogue))
    return _judged(factors.predict(held_out.user_ids, held_out.movie_ids), held_out, ranked)


def evaluate_popularity(
    model: Model, known: Ratings, holdout: HoldoutUsers, held_out: Ratings, new: NewCases | None
) -> Judgement:
    """Each film's Bayesian average as stars; the popularity list, less what was seen, as ranking."""
    shown = [holdout.catalogue[_best(model.popularity, seen)] for seen in holdout.seen]
    items = np.searchsorted(holdout.catalogue, known.movie_ids)
    counts, sums = rating_sums(items, known.stars, len(holdout.catalogue))
    means = damped_means(counts, sums, known.stars.mean(), _BASELINE_PRIOR)
    places = np.minimum(np.searchsorted(holdout.catalogue, held_out.movie_ids), len(means) - 1)
    is_known = holdout.catalogue[places] == held_out.movie_ids
    stars = np.where(is_known, means[places], known.stars.mean())
    return _judged(stars, held_out, ranking_scores(shown, holdout.liked, len(holdout.catalogue)), new)


def evaluate_mean(known: Ratings, held_out: Ratings) -> Judgement:
    """The global mean for everyone and everything: it orders nothing."""
    return _judged(np.full(len(held_out), known.stars.mean()), held_out)


def _judged(
    stars: NDArray[np.float64], held_out: Ratings, ranked: Ranked | None = None, new: NewCases | None = None
) -> Judgement:
    squares = squared_errors(stars, held_out.stars, held_out.user_ids)
    return judgement(squares, errors(stars, held_out.stars)[1], ranked, new)


def _best(values: NDArray[Any], seen: Ints) -> Ints:
    values = values.copy()
    values[seen] = -np.inf
    first = np.argsort(-values, kind="stable")[:SHOWN] if len(values) <= SHOWN else _top(values)
    return np.asarray(first[np.isfinite(values[first])])


def _top(values: NDArray[Any]) -> Ints:
    first = np.argpartition(-values, SHOWN)[:SHOWN]
    return np.asarray(first[np.argsort(-values[first], kind="stable")])


def _grouped(ratings: Ratings, people: Ints, values: NDArray[Any]) -> list[NDArray[Any]]:
    """The values of each person's ratings."""
    starts = np.searchsorted(ratings.user_ids, people)
    ends = np.searchsorted(ratings.user_ids, people, side="right")
    return [values[start:end] for start, end in zip(starts, ends, strict=True)]
