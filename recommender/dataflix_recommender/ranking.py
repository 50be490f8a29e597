"""Order films for someone, and say why; by popularity for who has rated nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflix_recommender.model import UNKNOWN, FloatArray, IntArray, Model, Profile

#: How many ratings at the global mean everyone's own mean starts from.
MEAN_PRIOR = 5
#: What a rating at someone's own mean says in favour, in stars, where the model does not say: to have watched
#: is a liking in itself.
WATCHED = 0.5
#: How much popularity counts for someone who has rated nothing, and after how many ratings half as much.
POPULARITY, POPULARITY_HALF = 0.2, 10
#: Averages that differ by less, in stars, differ by rounding only.
_LEAST_SPREAD = 1e-9
#: How much the second film must speak for one, in parts of what the first does, to be named as a reason too.
SECOND_REASON = 0.5


@dataclass(frozen=True, slots=True)
class Ranking:
    """Films in the order in which to show them.

    Attributes:
        item_ids: (n,) int64, best first.
        scores: (n,) falling, but for films without ratings; comparable within one ranking only.
    """

    item_ids: IntArray
    scores: FloatArray


def weights(model: Model, profile: Profile) -> FloatArray:
    """What each rating of a profile says, in stars: for similar films above 0, against them below.

    The rating less the person's own mean (drawn towards the global one while there are few), plus what it
    says to have watched a film. So a 5 lifts similar films and a 0.5 lowers them, for kind and for harsh
    raters.
    """
    shrunk = profile.ratings.sum() + MEAN_PRIOR * model.global_mean
    mean = shrunk / (len(profile.ratings) + MEAN_PRIOR)
    watched = WATCHED if model.watched is None else model.watched
    return np.asarray(profile.ratings - mean + watched)


@dataclass(frozen=True, slots=True)
class Votes:
    """What each rated film says about each film that the ranker joins it with; N of them, by rated film.

    Attributes:
        items: (N,) places of the films that something is said about.
        values: (N,) what is said: for them above 0, against them below.
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

    Films that nobody has rated come after all others. With ``new_every`` the best of those that something
    speaks for are among them, so that they are seen and rated: what is known of their kind never lets them
    score as highly.

    Args:
        model: the arrays.
        profile: from :meth:`Model.profile`; one without ratings gets the popularity list.
        count: how many; fewer come back when there are no more.
        exclude: ids of films to leave out, such as those watched and not rated.
        among: (I,) the films to choose from; None: all.
        rated: whether those already rated may come back.
        given: the profile's votes, when they are known.
        new_every: of so many places the last one is for a film that nobody has rated; 0: none is.
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
    # so that after insertion each stands in the last of its places
    before = new_every * np.arange(1, early + 1) - np.arange(1, early + 1)
    mixed = np.insert(best, np.minimum(before, len(best)), new[best_new[:early]])
    chosen = np.concatenate([mixed, new[best_new[early:]]])[:count]
    return Ranking(model.item_ids[chosen], total[chosen])


def similar(model: Model, item_id: int, count: int = 10) -> Ranking:
    """The films that a liking of this one speaks for most; empty when the ranker has no row for it."""
    place = int(model.items([item_id])[0])
    if place == UNKNOWN:
        return Ranking(np.empty(0, np.int64), np.empty(0))
    row = slice(model.ranker_start[place], model.ranker_start[place + 1])
    values = model.ranker_weights[row]
    best = _highest(values, count)
    best = best[values[best] > 0]
    return Ranking(model.item_ids[model.ranker_items[row][best]], values[best])


def reasons(
    model: Model, profile: Profile, item_ids: ArrayLike, given: Votes | None = None
) -> list[list[int]]:
    """For each film, the rated ones that speak for it most ("because you liked ... and ...").

    None, one, or two, the strongest first: the second is named when it speaks at least
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


def damped_means(counts: IntArray, sums: FloatArray, mean: float, prior: float) -> FloatArray:
    """Each film's Bayesian average: its mean with ``prior`` ratings at the global mean added."""
    return np.asarray((sums + prior * mean) / (counts + prior))


def popularity(counts: IntArray, sums: FloatArray, mean: float) -> FloatArray:
    """Bayesian averages scaled to 0..1, the prior weighing as much as the most rated film's ratings.

    So strong a prior orders by how many people liked a film as much as by how well. Where all ratings are
    equal, only the number of ratings tells films apart.

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
