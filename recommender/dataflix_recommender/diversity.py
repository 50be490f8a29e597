"""Choose films that are less alike, at the price of some relevance.

Maximal marginal relevance: Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering
Documents and Producing Summaries, SIGIR 1998.
"""

from __future__ import annotations

import numpy as np

from dataflix_recommender.model import UNKNOWN, FloatArray, IntArray, Model
from dataflix_recommender.ranking import Ranking

#: How many candidates there are for each film that is asked for.
_CANDIDATES = 10


def candidates(count: int, diversity: float) -> int:
    """How many films to rank so that :func:`diversify` can choose ``count`` of them."""
    return _CANDIDATES * count if diversity else count


def diversify(model: Model, ranking: Ranking, count: int, diversity: float) -> Ranking:
    """Choose the films to show, one after another: each time the one that adds most to those already chosen.

    A film adds its relevance, less its likeness to the most similar film already chosen. Both are from 0
    to 1 among the candidates. Relevance goes from the lowest to the highest score. The likeness of two films
    is their weight in the item-item matrix, in the direction in which it is larger, as a part of the largest.

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
