"""People whom a model has never seen, and their first few ratings. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import Model, fold_in, popularity, predict_stars, rank
from dataflix_training.fitting import rating_sums
from dataflix_training.ratings import FEWEST_TO_SPLIT, Ratings, by_chance
from dataflix_training.scores import LIKED, SHOWN, ByPerson, NewCases, gain

#: After so many of their ratings people are judged by the rest of these.
COUNTS = (0, 1, 3, 5, 10, 20)
#: One person in so many is taken for a new one; so many people at most, and at least.
_ONE_IN, _MOST, _FEWEST = 5, 500, 10

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


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


def leave_out(fitted_on: Ratings, judged_by: Ratings, draw: int) -> NewPeople | None:
    """Choose people by chance, the same ones each time; None: too few of them have liked a film.

    Args:
        fitted_on: what models are fitted on.
        judged_by: where the people's own ratings are taken from; may be the same.
        draw: 0 to 4: each chooses other people.
    """
    people, counts = np.unique(judged_by.user_ids, return_counts=True)
    people = people[counts >= FEWEST_TO_SPLIT]
    chosen = people[np.argsort(by_chance(people))][draw::_ONE_IN][:_MOST]
    new = NewPeople(
        fitted_on[~np.isin(fitted_on.user_ids, chosen)], judged_by[np.isin(judged_by.user_ids, chosen)]
    )
    liking = np.unique(new.own.user_ids[new.own.stars >= LIKED])
    return new if len(new.others) and len(liking) >= _FEWEST else None


def evaluate_new_people(model: Model, new: NewPeople) -> NewCases:
    """Rankings and stars of a model that was fitted on the others' ratings, as serving makes them."""
    people = len(np.unique(new.own.user_ids))
    squares, cases = np.zeros(people), np.zeros(people)
    for case in _cases(new):
        taste = fold_in(model, model.profile_of(case.user, case.known, case.known_stars))
        off = predict_stars(model, taste, case.later) - case.later_stars
        squares[case.place] += off @ off
        cases[case.place] += len(off)
    return NewCases(COUNTS, rank_new_people(model, new), ByPerson(squares, cases))


def rank_new_people(model: Model, new: NewPeople) -> Floats:
    """The table of :class:`NewCases` alone, without stars."""

    def show(case: _Case) -> Ints:
        profile = model.profile_of(case.user, case.known, case.known_stars)
        return rank(model, profile, SHOWN).item_ids

    return _gains(new, show)


def evaluate_popularity_for_new_people(new: NewPeople) -> NewCases:
    """What the popularity list, less the films already rated, is to new people."""
    catalogue, items = np.unique(new.others.movie_ids, return_inverse=True)
    counts, sums = rating_sums(items, new.others.stars, len(catalogue))
    popular = catalogue[np.argsort(-popularity(counts, sums, new.others.stars.mean()), kind="stable")]

    def show(case: _Case) -> Ints:
        first = popular[: SHOWN + case.count]
        return first[~np.isin(first, case.known)]

    return NewCases(COUNTS, _gains(new, show))


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
