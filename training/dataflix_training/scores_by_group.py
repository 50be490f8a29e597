"""How good a model is for some people and some films: by number of ratings, and by year. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender import places
from dataflix_training.film_features import Film
from dataflix_training.ratings import Ratings
from dataflix_training.scores import ByPerson, Group, root, squared_errors

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

#: Where the groups by number of ratings begin.
EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


@dataclass(frozen=True, slots=True)
class Groups:
    """The figures of one model; of the ratings, those that it was fitted on count.

    Attributes:
        people: by how many ratings the person had.
        popularity: by how many ratings the film had; 0: nobody had rated it.
        decades: by the decade in which the film was released.
    """

    people: list[Group]
    popularity: list[Group]
    decades: list[Group]

    def with_rankings(self, known: Ratings, user_ids: Ints, gains: ByPerson) -> Groups:
        """The same with nDCG@10 by how many ratings the person had.

        Args:
            known: what the model was fitted on.
            user_ids: whose rankings were judged.
            gains: nDCG@10 of these people, in their order.
        """
        begin = _begins(_counts(known.user_ids, user_ids))
        found = []
        for group in self.people:
            inside = begin == group.least
            some = ByPerson(gains.sums[inside], gains.cases[inside])
            ndcg = some.estimate() if inside.any() else None
            found.append(replace(group, ranked=int(inside.sum()), ndcg_at_10=ndcg))
        return replace(self, people=found)


def by_group(predicted: Floats, known: Ratings, held_out: Ratings, films: Mapping[int, Film]) -> Groups:
    """Sort held-out ratings into groups, and compute the error of each group's stars.

    Args:
        predicted: stars of the held-out ratings.
        known: what the model was fitted on.
        held_out: what it is judged by.
        films: the catalogue; the year of a film that it does not have is unknown.
    """
    return Groups(
        _errors(_begins(_counts(known.user_ids, held_out.user_ids)), predicted, held_out),
        _errors(_begins(_counts(known.movie_ids, held_out.movie_ids)), predicted, held_out),
        _errors(_decades(held_out.movie_ids, films), predicted, held_out),
    )


def _errors(begin: Ints, predicted: Floats, held_out: Ratings) -> list[Group]:
    """The groups in rising order; ``begin`` says for each rating where its group begins."""
    found = []
    for least in np.unique(begin).tolist():
        inside = begin == least
        squares = squared_errors(predicted[inside], held_out.stars[inside], held_out.user_ids[inside])
        found.append(Group(least, len(squares.sums), int(inside.sum()), root(squares.estimate())))
    return found


def _counts(known: Ints, wanted: Ints) -> Ints:
    """How often each of the wanted ids is among the known ones."""
    ids, counts = np.unique(known, return_counts=True)
    at = places(ids, wanted)
    return np.where(at >= 0, counts[at], 0)


def _begins(counts: Ints) -> Ints:
    edges = np.asarray(EDGES)
    return edges[np.digitize(counts, edges) - 1]


def _decades(movie_ids: Ints, films: Mapping[int, Film]) -> Ints:
    ids, places = np.unique(movie_ids, return_inverse=True)
    years = [films[movie_id][1] if movie_id in films else None for movie_id in ids.tolist()]
    return np.asarray([(year or 0) // 10 * 10 for year in years])[places]
