"""Whether a new model may take the champion's place. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dataflix_contract.schema import CHAMPION
from dataflix_training.metrics import Scores

CHALLENGER: Literal["challenger"] = "challenger"
Alias = Literal["champion", "challenger"]

#: Today's ratings must be at least so many of those that the champion was trained with: half a load of the
#: warehouse would otherwise train a model that is good at half of the ratings.
LEAST_SHARE_OF_ROWS = 0.8


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


def decide(new: Scores, rows: int, popularity: Scores, mean: Scores, champion: Champion | None) -> Decision:
    """Champion, if better or equal on both RMSE and nDCG@10 than the champion, and than the baselines."""
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
    return Decision(
        CHAMPION, ("better or equal on RMSE and nDCG@10",) if champion else ("no champion to compare with",)
    )


def _worse(lower: float | None, higher: float | None, metric: str, than: str) -> list[str]:
    """An objection unless ``lower`` is at most ``higher``."""
    if lower is not None and higher is not None and lower <= higher:
        return []
    return [f"{metric} is worse than that of {than}"]
