"""Evaluate models on held-out ratings, both of people whom they know and of new people. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import (
    Model,
    candidates,
    damped_means,
    diversify,
    fold_in,
    places,
    popularity,
    predict_stars,
    rank,
    stars_deviation,
)
from dataflix_training.fitting import Factors, rating_sums
from dataflix_training.ratings import FEWEST_TO_SPLIT, Ratings, hash_rows
from dataflix_training.scores import (
    LIKED,
    SHOWN,
    ByPerson,
    Judgement,
    NewCases,
    Ranked,
    errors,
    gain,
    judgement,
    ranking_scores,
    squared_errors,
)

#: Rankings are judged by so many people at most, evenly spread over their ids.
MOST_PEOPLE = 3000
#: The prior of the popularity baseline's stars, in ratings at the global mean.
_BASELINE_PRIOR = 5.0
_PEOPLE_AT_ONCE = 500
#: New people are judged after each of these numbers of ratings, on the rest of their ratings.
COUNTS = (0, 1, 3, 5, 10, 20)
#: One person in so many is treated as new; so many people at most, of whom so many at least must like a film.
_ONE_IN, _MOST_NEW, _FEWEST_NEW = 5, 500, 10

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class HoldoutUsers:
    """The users that rankings are evaluated by.

    Attributes:
        user_ids: who.
        liked: for each of them the films that they came to like in the held-out part.
        catalogue: ids of the films that had been rated, rising: coverage is a share of these.
        seen: for each of them the places in the catalogue of the films that they had rated before.
    """

    user_ids: Ints
    liked: list[Ints]
    catalogue: Ints
    seen: list[Ints]


@dataclass(frozen=True, slots=True)
class NewPeople:
    """People who are left out of a fit.

    Attributes:
        others: the ratings to fit on: everybody else's.
        own: the new people's, all of them, by person and in the order of time.
    """

    others: Ratings
    own: Ratings


@dataclass(frozen=True, slots=True)
class _Case:
    """One person after ``count`` ratings: those known, and what comes later."""

    place: int
    user: int
    count: int
    known: Ints
    known_stars: Floats
    later: Ints
    later_stars: Floats


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
    """How far held-out ratings lie from their predictions, in the standard deviations that replies give.

    The ratings are those of :data:`MOST_PEOPLE` people at most. None: the model gives no standard deviations.
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


def evaluate_ranker(model: Model, holdout: HoldoutUsers, diversity: float = 0.0) -> Ranked:
    """Judge a model's rankings, made as the API makes them when ``diversity`` is asked for."""
    most = candidates(SHOWN, diversity)
    ranked = [rank(model, model.profile(int(user)), most) for user in holdout.user_ids]
    shown = [diversify(model, one, SHOWN, diversity).item_ids for one in ranked]
    return ranking_scores(shown, holdout.liked, len(holdout.catalogue))


def evaluate_model(
    model: Model, factors: Factors, holdout: HoldoutUsers, held_out: Ratings, new: NewCases | None
) -> Judgement:
    """Judge the whole model: its stars, its rankings, and, as ``new`` has it, its results for new people."""
    predicted = factors.predict(held_out.user_ids, held_out.movie_ids)
    judged = _judgement(predicted, held_out, evaluate_ranker(model, holdout), new)
    apart = in_deviations(model, held_out)
    if apart is None:
        return judged
    return replace(judged, scores=replace(judged.scores, within_deviation=float(np.mean(apart <= 1))))


def evaluate_svd(factors: Factors, holdout: HoldoutUsers, held_out: Ratings) -> Judgement:
    """Judge the stars of an SVD, and the rankings by these stars."""
    shown: list[Ints] = []
    users = np.searchsorted(factors.user_ids, holdout.user_ids)
    for first in range(0, len(users), _PEOPLE_AT_ONCE):
        some = users[first : first + _PEOPLE_AT_ONCE]
        stars = factors.item_bias + factors.user_factors[some] @ factors.item_factors.T
        for row, seen in zip(stars, holdout.seen[first : first + _PEOPLE_AT_ONCE], strict=True):
            shown.append(holdout.catalogue[_best(row, seen)])
    ranked = ranking_scores(shown, holdout.liked, len(holdout.catalogue))
    return _judgement(factors.predict(held_out.user_ids, held_out.movie_ids), held_out, ranked)


def evaluate_popularity(
    model: Model, known: Ratings, holdout: HoldoutUsers, held_out: Ratings, new: NewCases | None
) -> Judgement:
    """Judge films' Bayesian averages as stars, and the popularity list without seen films as a ranking."""
    popular = model.popularity[model.items(holdout.catalogue)]
    shown = [holdout.catalogue[_best(popular, seen)] for seen in holdout.seen]
    items = np.searchsorted(holdout.catalogue, known.movie_ids)
    counts, sums = rating_sums(items, known.stars, len(holdout.catalogue))
    means = damped_means(counts, sums, known.mean(), _BASELINE_PRIOR)
    at = places(holdout.catalogue, held_out.movie_ids)
    stars = np.where(at >= 0, means[at], known.mean())
    return _judgement(stars, held_out, ranking_scores(shown, holdout.liked, len(holdout.catalogue)), new)


def evaluate_mean(known: Ratings, held_out: Ratings) -> Judgement:
    """Judge the global mean as the stars of every film for everyone; there is no ranking."""
    return _judgement(np.full(len(held_out), known.mean()), held_out)


def choose_new_people(fitted_on: Ratings, judged_by: Ratings, draw: int) -> NewPeople | None:
    """Choose people by chance, the same ones each time; None: too few of them have liked a film.

    Args:
        fitted_on: what models are fitted on.
        judged_by: where the people's own ratings are taken from; may be the same.
        draw: from 0 to 4; each number chooses different people.
    """
    people, counts = np.unique(judged_by.user_ids, return_counts=True)
    people = people[counts >= FEWEST_TO_SPLIT]
    chosen = people[np.argsort(hash_rows(people))][draw::_ONE_IN][:_MOST_NEW]
    new = NewPeople(
        fitted_on[~np.isin(fitted_on.user_ids, chosen)], judged_by[np.isin(judged_by.user_ids, chosen)]
    )
    liking = np.unique(new.own.user_ids[new.own.stars >= LIKED])
    return new if len(new.others) and len(liking) >= _FEWEST_NEW else None


def evaluate_new_people(model: Model, new: NewPeople) -> NewCases:
    """Rankings and stars of a model that was fitted on the others' ratings, as serving makes them."""
    people = len(np.unique(new.own.user_ids))
    stars = [ByPerson(np.zeros(people), np.zeros(people)) for _ in COUNTS]
    for case in _cases(new):
        taste = fold_in(model, model.profile_from_ratings(case.user, case.known, case.known_stars))
        off = predict_stars(model, taste, case.later) - case.later_stars
        squares = stars[COUNTS.index(case.count)]
        squares.sums[case.place] = off @ off
        squares.cases[case.place] = len(off)
    return NewCases(COUNTS, rank_new_people(model, new), stars)


def rank_new_people(model: Model, new: NewPeople) -> Floats:
    """The table of :class:`NewCases` alone, without stars."""

    def show(case: _Case) -> Ints:
        profile = model.profile_from_ratings(case.user, case.known, case.known_stars)
        return rank(model, profile, SHOWN).item_ids

    return _gains(new, show)


def evaluate_popularity_for_new_people(new: NewPeople) -> NewCases:
    """Judge the popularity list, without the films already rated, for new people."""
    catalogue, items = np.unique(new.others.movie_ids, return_inverse=True)
    counts, sums = rating_sums(items, new.others.stars, len(catalogue))
    popular = catalogue[np.argsort(-popularity(counts, sums, new.others.mean()), kind="stable")]

    def show(case: _Case) -> Ints:
        first = popular[: SHOWN + case.count]
        return first[~np.isin(first, case.known)]

    return NewCases(COUNTS, _gains(new, show))


def _judgement(
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


def _gains(new: NewPeople, show: Callable[[_Case], Ints]) -> Floats:
    """nDCG@10 of what is shown: a row for each person, a column for each number of ratings."""
    table = np.full((len(np.unique(new.own.user_ids)), len(COUNTS)), np.nan)
    for case in _cases(new):
        liked = case.later[case.later_stars >= LIKED]
        if len(liked):
            table[case.place, COUNTS.index(case.count)] = gain(show(case), liked)
    return table


def _cases(new: NewPeople) -> Iterator[_Case]:
    people, starts = np.unique(new.own.user_ids, return_index=True)
    ends = np.append(starts[1:], len(new.own))
    movies, stars = new.own.movie_ids, new.own.stars
    for place, (user, start, end) in enumerate(zip(people.tolist(), starts, ends, strict=True)):
        for count in COUNTS:
            middle = start + count
            if middle < end:
                known, later = slice(start, middle), slice(middle, end)
                yield _Case(place, user, count, movies[known], stars[known], movies[later], stars[later])
