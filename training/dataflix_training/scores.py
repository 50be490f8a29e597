"""Measure how good predictions and rankings are, with standard errors. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

#: How many films a ranking shows.
SHOWN = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, SHOWN + 2))
#: A film rated so or better was a good recommendation.
LIKED = 4.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its standard error."""

    value: float
    error: float

    def beyond_noise(self, errors: float = 1.0) -> bool:
        """Whether it is above zero by more than so many standard errors."""
        return self.value > errors * self.error

    def negative(self) -> Estimate:
        """The estimate of the opposite."""
        return Estimate(-self.value, self.error)


@dataclass(frozen=True, slots=True)
class ByPerson:
    """A figure's cases, summed for each person, because the cases of one person are not independent.

    Attributes:
        sums: (P,) of the figure over a person's cases.
        cases: (P,) how many these are.
    """

    sums: Floats
    cases: Floats

    def estimate(self) -> Estimate:
        """The mean over all cases, with the standard error of a ratio of two sums over people."""
        total, people = float(self.cases.sum()), len(self.sums)
        mean = float(self.sums.sum()) / total
        if people == 1:
            return Estimate(mean, float("inf"))
        off = self.sums - mean * self.cases
        return Estimate(mean, float(np.sqrt(np.sum(off**2) * people / (people - 1))) / total)

    def minus(self, other: ByPerson) -> ByPerson:
        """The paired difference, this model less the other one, over the same cases of the same people."""
        return ByPerson(self.sums - other.sums, self.cases)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model is judged by; None for what it does not predict.

    Attributes:
        rmse: root of the mean squared error of the stars.
        mae: mean absolute error of the stars.
        ndcg_at_10: normalised discounted cumulative gain of the first ten, mean over people.
        precision_at_10: share of the first ten that are liked later, mean over people.
        recall_at_10: share of the films liked later that are among the first ten, mean over people.
        coverage: share of the catalogue that is among somebody's first ten.
        new_rmse: as ``rmse``, for people of whom the model knows the first few ratings only.
        new_ndcg_at_10: as ``ndcg_at_10``, for these.
        within_deviation: share of the held-out ratings within one standard deviation of what is predicted.
        rmse_error: standard error of ``rmse``; the next three are as this one.
        ndcg_at_10_error: of ``ndcg_at_10``.
        new_rmse_error: of ``new_rmse``.
        new_ndcg_at_10_error: of ``new_ndcg_at_10``.
    """

    rmse: float | None = None
    mae: float | None = None
    ndcg_at_10: float | None = None
    precision_at_10: float | None = None
    recall_at_10: float | None = None
    coverage: float | None = None
    new_rmse: float | None = None
    new_ndcg_at_10: float | None = None
    within_deviation: float | None = None
    rmse_error: float | None = None
    ndcg_at_10_error: float | None = None
    new_rmse_error: float | None = None
    new_ndcg_at_10_error: float | None = None

    @classmethod
    def names(cls) -> list[str]:
        """The names of the scores."""
        return [one.name for one in fields(cls)]

    def known(self) -> dict[str, float]:
        """The metrics that there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rankings of people who are known to the model: nDCG@10 by person, the other figures over all."""

    gains: ByPerson
    precision: float
    recall: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Group:
    """How good a model is for some people, or for some films.

    Attributes:
        least: where the group begins: a number of ratings, or the first year of a decade. Of decades, 0 is
            the films whose year is unknown.
        people: whose held-out ratings it is judged by.
        ratings: how many of these there are.
        rmse: of the stars; None: none are predicted.
        ranked: how many people the ranking is judged by; only those who liked a held-out film can be.
        ndcg_at_10: of these; None: there are none, or the group is of films, which have no ranking each.
    """

    least: int
    people: int
    ratings: int
    rmse: Estimate | None = None
    ranked: int = 0
    ndcg_at_10: Estimate | None = None


@dataclass(frozen=True, slots=True)
class NewCases:
    """How good a model is for new people, after each number of ratings.

    Attributes:
        counts: (C,) the numbers of ratings.
        table: (P, C) nDCG@10; not a number where someone has too few ratings.
        stars: for each of the numbers the squared errors of stars; empty: none are predicted.
    """

    counts: tuple[int, ...]
    table: Floats
    stars: Sequence[ByPerson] = ()

    @property
    def squares(self) -> ByPerson:
        """Squared errors of stars over all numbers of ratings."""
        return ByPerson(
            np.sum([one.sums for one in self.stars], axis=0),
            np.sum([one.cases for one in self.stars], axis=0),
        )

    @property
    def gains(self) -> ByPerson:
        """nDCG@10, a case for each number of ratings."""
        return ByPerson(np.nansum(self.table, axis=1), np.isfinite(self.table).sum(axis=1).astype(float))

    @property
    def groups(self) -> list[Group]:
        """The figures by the number of ratings, for the numbers that anybody has."""
        found = []
        for place, (count, column) in enumerate(zip(self.counts, self.table.T, strict=True)):
            gains = column[np.isfinite(column)]
            if not len(gains):
                continue
            group = Group(
                count,
                people=len(gains),
                ratings=0,
                ranked=len(gains),
                ndcg_at_10=ByPerson(gains, np.ones(len(gains))).estimate(),
            )
            if self.stars:
                squares = self.stars[place]
                group = replace(
                    group,
                    people=int(np.count_nonzero(squares.cases)),
                    ratings=int(squares.cases.sum()),
                    rmse=root(squares.estimate()),
                )
            found.append(group)
        return found


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model's scores, with the figures of each person, so that two models can be compared person by person.

    Attributes:
        scores: the figures.
        people: by the name of the score. Of ``rmse`` and ``new_rmse`` these are squared errors.
        new_people: the figures of new people, by how many ratings of theirs the model knows.
    """

    scores: Scores
    people: dict[str, ByPerson]
    new_people: Sequence[Group] = ()

    @property
    def by_count(self) -> dict[int, float]:
        """nDCG@10 of new people after so many ratings."""
        return {one.least: one.ndcg_at_10.value for one in self.new_people if one.ndcg_at_10}


def judgement(
    squares: ByPerson, mae: float, ranking: Ranked | None = None, new: NewCases | None = None
) -> Judgement:
    """Put together what was found about one model.

    Args:
        squares: squared errors of held-out stars.
        mae: mean absolute error of these.
        ranking: of the people of the held-out part; None: the model orders nothing.
        new: of new people; None: there are none, or the model says nothing about them.
    """
    people = {"rmse": squares}
    if ranking:
        people["ndcg_at_10"] = ranking.gains
    if new and new.stars:
        people["new_rmse"] = new.squares
    if new:
        people["new_ndcg_at_10"] = new.gains
    known: dict[str, float] = {}
    for name, cases in people.items():
        estimate = cases.estimate()
        estimate = root(estimate) if name.endswith("rmse") else estimate
        known |= {name: estimate.value, f"{name}_error": estimate.error}
    if ranking:
        known |= {
            "precision_at_10": ranking.precision,
            "recall_at_10": ranking.recall,
            "coverage": ranking.coverage,
        }
    return Judgement(Scores(mae=mae, **known), people, new.groups if new else ())


def root(squares: Estimate) -> Estimate:
    """The root of a mean, and its standard error."""
    value = float(np.sqrt(squares.value))
    return Estimate(value, squares.error / (2 * value) if value else 0.0)


def errors(predicted: Floats, stars: Floats) -> tuple[float, float]:
    """RMSE and MAE."""
    off = predicted - stars
    return float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off)))


def squared_errors(predicted: Floats, stars: Floats, user_ids: Ints) -> ByPerson:
    """Squared errors of pairs, summed for each person; people in the order of rising ids."""
    _, people = np.unique(user_ids, return_inverse=True)
    sums = np.asarray(np.bincount(people, (predicted - stars) ** 2), np.float64)
    return ByPerson(sums, np.bincount(people).astype(np.float64))


def gain(shown: Ints, liked: Ints) -> float:
    """nDCG@10 of one person.

    A film counts as 1 when it is liked and as 0 otherwise (Jarvelin and Kekalainen 2002).

    Args:
        shown: the films shown, best first.
        liked: the films liked later, one or more; those that could not be shown count too.
    """
    hits = np.isin(shown[:SHOWN], liked)
    return float(_DISCOUNTS[: len(hits)][hits].sum() / _DISCOUNTS[: len(liked)].sum())


def ranking_scores(shown: Sequence[Ints], liked: Sequence[Ints], catalogue: int) -> Ranked:
    """nDCG@10, Precision@10, Recall@10 and coverage.

    Args:
        shown: for each person the films shown, best first.
        liked: for each person the films liked later, as in :func:`gain`.
        catalogue: how many films there are.
    """
    pairs = list(zip(shown, liked, strict=True))
    gains = np.asarray([gain(first, wanted) for first, wanted in pairs])
    hits = np.asarray([np.isin(first[:SHOWN], wanted).sum() for first, wanted in pairs])
    recall = float(np.mean(hits / [len(wanted) for wanted in liked]))
    seen = np.unique(np.concatenate([first[:SHOWN] for first in shown]))
    everybody = ByPerson(gains, np.ones(len(gains)))
    return Ranked(everybody, float(hits.mean()) / SHOWN, recall, len(seen) / catalogue)
