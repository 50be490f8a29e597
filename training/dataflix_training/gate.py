"""Whether a new model may take the champion's place. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataflix_contract.schema import CHAMPION
from dataflix_training.scores import Scores

CHALLENGER: Literal["challenger"] = "challenger"
Alias = Literal["champion", "challenger"]

#: Today's ratings must be at least so many of those that the champion was trained with: half a load of the
#: warehouse would otherwise train a model that is good at half of the ratings.
LEAST_SHARE_OF_ROWS = 0.8
#: Of two trainings with the same data, one has seen at least this share of what the other has seen.
LEAST_SHARED = 0.5
#: How many ratings a version's sample has: it fits into a tag, and tells shares apart by a few hundredths.
SAMPLE_SIZE = 64


@dataclass(frozen=True, slots=True)
class Champion:
    """What the gate knows of the champion.

    Attributes:
        rows: how many ratings it was trained with.
        scores: of its recipe, fitted and judged on the same data as the new one.
    """

    rows: int
    scores: Scores


@dataclass(frozen=True, slots=True)
class Decision:
    """The alias that the new version gets, and why, in words."""

    alias: Alias
    reasons: tuple[str, ...]


def sample(hashes: NDArray[np.uint64]) -> tuple[int, ...]:
    """A fair sample of ratings, by their hashes: the smallest ones. The same ratings have the same sample."""
    smallest = np.partition(hashes, SAMPLE_SIZE - 1)[:SAMPLE_SIZE] if len(hashes) > SAMPLE_SIZE else hashes
    return tuple(sorted(smallest.tolist()))


def same_data(champions: tuple[int, ...], rows: int, hashes: NDArray[np.uint64]) -> bool:
    """Whether the champion was trained with the data that there are now, or with an earlier state of them.

    Data that have grown hold most of the champion's ratings, and data that are not all there consist of
    ratings that the champion knows. After another data set was imported neither is so: the champion is then
    no rival.

    Args:
        champions: the sample of the ratings that the champion was trained with.
        rows: how many these were.
        hashes: of the ratings that there are now.
    """
    kept = float(np.isin(np.asarray(champions, np.uint64), hashes).mean()) if champions else 0.0
    return max(kept, kept * rows / max(1, len(hashes))) >= LEAST_SHARED


def decide(  # noqa: PLR0913 - the last one is by name
    new: Scores,
    rows: int,
    popularity: Scores,
    mean: Scores,
    champion: Champion | None,
    *,
    other_data: bool = False,
) -> Decision:
    """Champion, if better or equal on both RMSE and nDCG@10 than the champion, and than the baselines.

    Args:
        new: the new model's scores.
        rows: how many ratings it was trained with.
        popularity: the scores of the most popular films.
        mean: the scores of the global mean.
        champion: the rival; None: there is none.
        other_data: there is a champion that is no rival, because it was trained with other data.
    """
    objections = [
        *_worse(new.rmse, mean.rmse, "RMSE", "the global mean"),
        *_worse(popularity.ndcg_at_10, new.ndcg_at_10, "nDCG@10", "popularity"),
    ]
    if champion:
        objections += _worse(new.rmse, champion.scores.rmse, "RMSE", "the champion")
        objections += _worse(champion.scores.ndcg_at_10, new.ndcg_at_10, "nDCG@10", "the champion")
        if rows < LEAST_SHARE_OF_ROWS * champion.rows:
            objections.append(f"{rows} ratings are far fewer than the champion's {champion.rows}")
    if objections:
        return Decision(CHALLENGER, tuple(objections))
    if champion:
        return Decision(CHAMPION, ("better or equal on RMSE and nDCG@10",))
    if other_data:
        return Decision(CHAMPION, ("the champion was trained with other data, and is no rival",))
    return Decision(CHAMPION, ("no champion to compare with",))


def _worse(lower: float | None, higher: float | None, metric: str, than: str) -> list[str]:
    """An objection unless ``lower`` is at most ``higher``."""
    if lower is not None and higher is not None and lower <= higher:
        return []
    return [f"{metric} is worse than that of {than}"]
