"""How good predictions and rankings are. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]

#: How many films a ranking shows.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model is judged by; None where it makes no such statement.

    Attributes:
        rmse: root of the mean squared error of the stars.
        mae: mean absolute error of the stars.
        ndcg_at_10: normalised discounted cumulative gain of the first ten, mean over people.
        recall_at_10: share of the films liked later that are among the first ten, mean over people.
        coverage: share of the catalogue that is among somebody's first ten.
    """

    rmse: float | None
    mae: float | None
    ndcg_at_10: float | None
    recall_at_10: float | None
    coverage: float | None

    def known(self) -> dict[str, float]:
        """The metrics that there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def errors(predicted: NDArray[np.float64], stars: NDArray[np.float64]) -> tuple[float, float]:
    """RMSE and MAE."""
    off = predicted - stars
    return float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off)))


def ranking_scores(
    shown: Sequence[Ints], liked: Sequence[Ints], catalogue: int
) -> tuple[float, float, float]:
    """nDCG@10, Recall@10 and coverage.

    A film counts as 1 when it is liked and as 0 otherwise (Jarvelin and Kekalainen 2002).

    Args:
        shown: for each person the films shown, best first.
        liked: for each person the films liked later, one or more; those that could not be shown count too.
        catalogue: how many films there are.
    """
    discounts = 1 / np.log2(np.arange(2, SHOWN + 2))
    gains, recalls = [], []
    for first, wanted in zip(shown, liked, strict=True):
        hits = np.isin(first[:SHOWN], wanted)
        gains.append(discounts[: len(hits)][hits].sum() / discounts[: len(wanted)].sum())
        recalls.append(hits.sum() / len(wanted))
    seen = np.unique(np.concatenate([first[:SHOWN] for first in shown]))
    return float(np.mean(gains)), float(np.mean(recalls)), len(seen) / catalogue
