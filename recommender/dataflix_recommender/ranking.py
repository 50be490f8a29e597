"""Rank films for someone, give the reasons, and choose films that are less alike.

Without any ratings, films are ranked by popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflix_recommender.model import UNKNOWN, FloatArray, IntArray, Model, Profile

#: A person's mean is computed as if they had also given this many ratings at the global mean.
MEAN_PRIOR = 5
#: How much a rating equal to someone's own mean speaks for similar films, in stars, where the model does not
#: say: having watched a film is itself a sign of liking it.
WATCHED = 0.5
#: The weight of popularity for someone who has rated nothing, and after how many ratings it is halved.
POPULARITY, POPULARITY_HALF = 0.2, 10
#: Averages that differ by less, in stars, differ by rounding only.
_LEAST_SPREAD = 1e-9
#: A second film is named as a reason too if its vote is at least this share of the first one's.
SECOND_REASON = 0.5
#: How many candidates there are for each film that :func:`diversify` is to choose.
_CANDIDATES = 10


@dataclass(frozen=True, slots=True)
class Ranking:
    """Films in the order in which to show them.

    Attributes:
        item_ids: (n,) int64, best first.
        scores: (n,) falling, except for films without ratings; comparable within one ranking only.
    """

    item_ids: IntArray
    scores: FloatArray


def weights(model: Model, profile: Profile) -> FloatArray:
    """How much each rating of a profile speaks for similar films, in stars; below 0, against them.

    This is the rating less the person's own mean, plus what having watched a film says. With few ratings, the
    mean is drawn towards the global one. So a 5 lifts similar films and a 0.5 lowers them, whether someone
    rates kindly or harshly.
    """
    shrunk = profile.ratings.sum() + MEAN_PRIOR * model.global_mean
    mean = shrunk / (len(profile.ratings) + MEAN_PRIOR)
    watched = WATCHED if model.watched is None else model.watched
    return np.asarray(profile.ratings - mean + watched)


@dataclass(frozen=True, slots=True)
class Votes:
    """What each rated film says about each film that the ranker connects it with: N votes, by rated film.

    Attributes:
        items: (N,) places of the films that the votes are about.
        values: (N,) the votes: above 0 for the film, below 0 against it.
        ends: where each rated film's votes end; as long as the profile.
        liked: which of the rated films speak for similar ones.
    """

    items: IntArray
    values: FloatArray
    ends: IntArray
    liked: NDArray[np.bool_]


def votes(model: Model, profile: Profile) -> Votes:
    """Everything that a profile says: the products of the weights and the rows of the item-item matrix."""
    starts, ends = model.ranker_start[profile.items], model.ranker_start[profile.items + 1]
    said = weights(model, profile)
    # whole rows are copied: to gather single entries would take ten times as long
    rows = [slice(0), *map(slice, starts.tolist(), ends.tolist())]
    items = np.concatenate([model.ranker_items[row] for row in rows], dtype=np.int64)
    values = np.repeat(said, ends - starts)
    values *= np.concatenate([model.ranker_weights[row] for row in rows])
    return Votes(items, values, np.cumsum(ends - starts), said > 0)


def scores(model: Model, profile: Profile, given: Votes | None = None) -> FloatArray:
    """The ranker's score of every film: (I,), the sum of the votes and of popularity, which is the prior.

    For someone who has rated nothing popularity is all there is, and the fewer ratings someone has, the more
    it counts: a few votes alone order worse than popularity does.
    """
    given = given or votes(model, profile)
    total = np.bincount(given.items, given.values, len(model.item_ids))
    before = POPULARITY / (1 + len(profile.items) / POPULARITY_HALF)
    return np.asarray(total + before * model.popularity)


def rank(  # noqa: PLR0913 - the last five are by name
    model: Model,
    profile: Profile,
    count: int = 10,
    *,
    exclude: ArrayLike = (),
    among: NDArray[np.bool_] | None = None,
    rated: bool = False,
    given: Votes | None = None,
    new_every: int = 0,
) -> Ranking:
    """The best films for someone.

    Films that nobody has rated come after all others. With ``new_every``, the best of those with a score
    above 0 are placed among the others, so that people see and rate them: the little that is known about such
    films never gives them as high a score.

    Args:
        model: the arrays.
        profile: from :meth:`Model.profile`; one without ratings gets the popularity list.
        count: how many; fewer come back when there are no more.
        exclude: ids of films to leave out, such as those watched and not rated.
        among: (I,) the films to choose from; None: all.
        rated: whether films that the person has rated may be shown again.
        given: the profile's votes, when they are known.
        new_every: the last of every ``new_every`` places is for a film that nobody has rated; 0: none is.
    """
    total = scores(model, profile, given)
    hidden = model.items(exclude)
    total[hidden[hidden != UNKNOWN]] = -np.inf
    if not rated:
        total[profile.items] = -np.inf
    if among is not None:
        total[~among] = -np.inf
    new = model.new_items
    new_total = total[new]
    total[new] = -np.inf
    best, best_new = _highest(total, count), _highest(new_total, count)
    best = best[np.isfinite(total[best])]
    best_new = best_new[np.isfinite(new_total[best_new])]
    total[new] = new_total
    early = min(count // new_every, int(np.count_nonzero(new_total[best_new] > 0))) if new_every else 0
    # each film without ratings must be in the last of its ``new_every`` places after the insertion
    before = new_every * np.arange(1, early + 1) - np.arange(1, early + 1)
    mixed = np.insert(best, np.minimum(before, len(best)), new[best_new[:early]])
    chosen = np.concatenate([mixed, new[best_new[early:]]])[:count]
    return Ranking(model.item_ids[chosen], total[chosen])


def similar(model: Model, item_id: int, count: int = 10) -> Ranking:
    """The films that liking this one speaks for most.

    For a film that nobody has rated, the films of which liking speaks most for it: its own row is empty.
    """
    place = int(model.items([item_id])[0])
    if place == UNKNOWN:
        return Ranking(np.empty(0, np.int64), np.empty(0))
    row = slice(model.ranker_start[place], model.ranker_start[place + 1])
    items, values = model.ranker_items[row], model.ranker_weights[row]
    if len(items) == 0:
        column = np.flatnonzero(model.ranker_items == place)
        items = np.searchsorted(model.ranker_start, column, side="right") - 1
        values = model.ranker_weights[column]
    best = _highest(values, count)
    best = best[values[best] > 0]
    return Ranking(model.item_ids[items[best]], values[best])


def reasons(
    model: Model, profile: Profile, item_ids: ArrayLike, given: Votes | None = None
) -> list[list[int]]:
    """For each film, the rated ones that speak for it most ("because you liked ... and ...").

    Each film has none, one or two, the strongest first: the second is named when it speaks at least
    :data:`SECOND_REASON` times as much.

    Args:
        model: the arrays.
        profile: the person's.
        item_ids: of the films to give reasons for.
        given: the profile's votes, when they are known.
    """
    given = given or votes(model, profile)
    wanted = model.items(item_ids)
    asked = np.zeros(len(model.item_ids) + 1, np.bool_)  # one more: the place of the unknown, the last
    asked[wanted] = True
    asked[UNKNOWN] = False
    found = np.flatnonzero(asked[given.items])
    sources = np.searchsorted(given.ends, found, side="right")
    speaking = np.flatnonzero((given.values[found] > 0) & given.liked[sources])
    films, said = given.items[found[speaking]], given.values[found[speaking]]
    order = np.lexsort((-said, films))  # of equal ones the first
    films, said = films[order], said[order]
    rated = model.item_ids[profile.items[sources[speaking[order]]]]
    first = np.flatnonzero(np.diff(films, prepend=UNKNOWN))
    second = np.minimum(first + 1, len(films) - 1)
    two = (second > first) & (films[second] == films[first]) & (said[second] >= SECOND_REASON * said[first])
    pairs = zip(rated[first].tolist(), rated[second].tolist(), two.tolist(), strict=True)
    why = [[one, other] if both else [one] for one, other, both in pairs]
    named = dict(zip(films[first].tolist(), why, strict=True))
    return [named.get(place, []) for place in wanted.tolist()]


def candidates(count: int, diversity: float) -> int:
    """How many films to rank so that :func:`diversify` can choose ``count`` of them."""
    return _CANDIDATES * count if diversity else count


def diversify(model: Model, ranking: Ranking, count: int, diversity: float) -> Ranking:
    """Choose the films to show, one after another: each time the one that adds most to those already chosen.

    A film adds its relevance, less its likeness to the most similar film already chosen. Both are from 0
    to 1 among the candidates. Relevance goes from the lowest to the highest score. The likeness of two films
    is their weight in the item-item matrix, in the direction in which it is larger, as a part of the largest.
    This is maximal marginal relevance: Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for
    Reordering Documents and Producing Summaries, SIGIR 1998.

    Films that nobody has rated keep their places: their scores cannot be compared with those of the others,
    and their number in a list is limited.

    Args:
        model: the arrays.
        ranking: the candidates, best first.
        count: how many to choose.
        diversity: the weight of likeness, from 0 to 1; relevance has the rest of the weight.
    """
    if not diversity or len(ranking.item_ids) == 0:
        return Ranking(ranking.item_ids[:count], ranking.scores[:count])
    items = model.items(ranking.item_ids)
    alike, new = _likeness(model, items), model.rating_counts[items] == 0
    lowest = ranking.scores[~new].min(initial=ranking.scores[0])
    spread = ranking.scores[0] - lowest
    worth = np.where(new, -np.inf, (1 - diversity) * (ranking.scores - lowest) / (spread or 1.0))
    nearest = np.zeros(len(worth))
    chosen: list[int] = []
    for place in range(min(count, len(worth))):
        best = place if new[place] else int(np.argmax(worth - diversity * nearest))
        chosen.append(best)
        worth[best] = -np.inf
        np.maximum(nearest, alike[best], out=nearest)
    return Ranking(ranking.item_ids[chosen], ranking.scores[chosen])


def _likeness(model: Model, films: IntArray) -> FloatArray:
    """(N, N) how alike films are, from 0 to 1."""
    columns = np.full(len(model.item_ids), UNKNOWN)
    columns[films] = np.arange(len(films))
    starts = model.ranker_start[films]
    lengths = model.ranker_start[films + 1] - starts
    ends = np.cumsum(lengths)
    entries = np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())
    column = columns[model.ranker_items[entries]]
    inside = column != UNKNOWN
    alike = np.zeros((len(films), len(films)))
    alike[np.repeat(np.arange(len(films)), lengths)[inside], column[inside]] = model.ranker_weights[
        entries[inside]
    ]
    alike = np.maximum(alike, alike.T).clip(0)
    return np.asarray(alike / (alike.max() or 1.0))


def damped_means(counts: IntArray, sums: FloatArray, mean: float, prior: float) -> FloatArray:
    """Each film's Bayesian average: its mean with ``prior`` ratings at the global mean added."""
    return np.asarray((sums + prior * mean) / (counts + prior))


def popularity(counts: IntArray, sums: FloatArray, mean: float) -> FloatArray:
    """Bayesian averages scaled to 0..1, the prior weighing as much as the most rated film's ratings.

    With so strong a prior, the number of people who liked a film counts as much as how well they liked it.
    Where all ratings are equal, only the number of ratings distinguishes films.

    Args:
        counts: how many ratings each film has.
        sums: their stars.
        mean: of all ratings.
    """
    prior = float(counts.max(initial=0))
    if not prior:
        return np.zeros(len(counts))
    averages = damped_means(counts, sums, mean, prior)
    spread = np.ptp(averages)
    if spread < _LEAST_SPREAD:
        return np.asarray(counts / prior)
    return np.asarray((averages - averages.min()) / spread)


def _highest(values: NDArray[Any], count: int) -> IntArray:
    """Places of the highest values, highest first; of equal ones the first."""
    count = max(0, min(count, len(values)))
    if count == 0:
        return np.empty(0, np.int64)
    least = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero(values >= least)
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]
