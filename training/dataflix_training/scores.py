"""Measure how good predictions and rankings are, with standard errors. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
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

    def less(self, other: ByPerson) -> ByPerson:
        """The paired difference, this model less the other one, over the same cases of the same people."""
        return ByPerson(self.sums - other.sums, self.cases)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model is judged by; None for what it does not predict.

    Attributes:
        rmse: root of the mean squared error of the stars.
        mae: mean absolute error of the stars.
        ndcg_at_10: normalised discounted cumulative gain of the first ten, mean over people.
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
    """Rankings of people who are known to the model: nDCG@10 by person, Recall@10 and coverage."""

    gains: ByPerson
    recall: float
    coverage: float


@dataclass(frozen=True, slots=True)
class NewCases:
    """How good a model is for new people, after each number of ratings.

    Attributes:
        counts: (C,) the numbers of ratings.
        table: (P, C) nDCG@10; not a number where someone has too few ratings.
        squares: squared errors of stars; None: none are predicted.
    """

    counts: tuple[int, ...]
    table: Floats
    squares: ByPerson | None = None

    @property
    def gains(self) -> ByPerson:
        """nDCG@10, a case for each number of ratings."""
        return ByPerson(np.nansum(self.table, axis=1), np.isfinite(self.table).sum(axis=1).astype(float))

    @property
    def by_count(self) -> dict[int, float]:
        """Mean nDCG@10 by the number of ratings, for the numbers that anybody has."""
        columns = zip(self.counts, self.table.T, strict=True)
        return {count: float(np.nanmean(column)) for count, column in columns if np.isfinite(column).any()}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model's scores, with the figures of each person, so that two models can be compared person by person.

    Attributes:
        scores: the figures.
        people: by the name of the score. Of ``rmse`` and ``new_rmse`` these are squared errors.
        by_count: nDCG@10 of new people after so many ratings.
    """

    scores: Scores
    people: dict[str, ByPerson]
    by_count: dict[int, float] = field(default_factory=dict)


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
    if new and new.squares:
        people["new_rmse"] = new.squares
    if new:
        people["new_ndcg_at_10"] = new.gains
    known: dict[str, float] = {}
    for name, cases in people.items():
        estimate = cases.estimate()
        estimate = root(estimate) if name.endswith("rmse") else estimate
        known |= {name: estimate.value, f"{name}_error": estimate.error}
    known |= {"recall_at_10": ranking.recall, "coverage": ranking.coverage} if ranking else {}
    return Judgement(Scores(mae=mae, **known), people, new.by_count if new else {})


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
    """nDCG@10, Recall@10 and coverage.

    Args:
        shown: for each person the films shown, best first.
        liked: for each person the films liked later, as in :func:`gain`.
        catalogue: how many films there are.
    """
    pairs = list(zip(shown, liked, strict=True))
    gains = np.asarray([gain(first, wanted) for first, wanted in pairs])
    recalls = [np.isin(first[:SHOWN], wanted).sum() / len(wanted) for first, wanted in pairs]
    seen = np.unique(np.concatenate([first[:SHOWN] for first in shown]))
    return Ranked(ByPerson(gains, np.ones(len(gains))), float(np.mean(recalls)), len(seen) / catalogue)
