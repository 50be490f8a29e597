"""Decide whether a new model takes the champion's place. No I/O.

``mlflow_run.py`` gives the new version the alias that is decided here, and the API's ``registry_watcher.py``
follows the alias ``champion``. ``dataflix-model promote`` and ``rollback`` move it whatever the gate said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataflix_contract.schema import CHALLENGER, CHAMPION
from dataflix_recommender import places
from dataflix_training.ratings import Fingerprints
from dataflix_training.scores import Judgement, Scores

Alias = Literal["champion", "challenger"]

#: The new model needs at least this share of the champion's number of ratings: otherwise a model of a
#: warehouse that is only half loaded could win.
LEAST_SHARE_OF_ROWS = 0.8
#: If a figure is worse than the recorded one by more than this many standard errors, that is not chance.
FAR = 3.0
#: It must also be worse by this share: with millions of ratings, the standard error is smaller than what one
#: day changes.
FAR_SHARE = 0.01
#: What is compared: the score, what it is called, and whether lower is better.
_COMPARED = (
    ("rmse", "RMSE", True),
    ("ndcg_at_10", "nDCG@10", False),
    ("new_rmse", "new people's RMSE", True),
    ("new_ndcg_at_10", "new people's nDCG@10", False),
)
#: What to do when figures are far worse than the recorded ones.
_DAMAGED = (
    "the ratings or the films' ids may be damaged: look at them; if they are right, dataflix-model promote"
    " puts this version in service"
)
#: Two trainings have the same data if one has seen at least this share of the other's ratings.
LEAST_SHARED = 0.5
#: How many fingerprints of a kind are in a version's sample: it fits into a tag, and shows shares to a few
#: hundredths.
SAMPLE_SIZE = 64
#: A kind of fingerprint counts only if at least this share of its values are distinct: if all times are
#: equal, for example, "person and time" identifies only the person.
LEAST_DISTINCT = 0.25


@dataclass(frozen=True, slots=True)
class Champion:
    """What the gate knows of the champion.

    Attributes:
        version: its number.
        rows: how many ratings it was trained with.
        recorded: the scores that its own training found, by name.
        recipe: its recipe, judged on the same data as the new model; None: it cannot be fitted again.
    """

    version: int
    rows: int
    recorded: Mapping[str, float]
    recipe: Judgement | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The alias that the new version gets, and why, in words.

    Attributes:
        alias: champion or challenger.
        reasons: in words.
        fell: the figures fell far below those that the champion recorded: the data may be damaged.
    """

    alias: Alias
    reasons: tuple[str, ...]
    fell: bool = False


def sample(fingerprints: Mapping[str, Fingerprints]) -> dict[str, list[int]]:
    """A random sample of each kind of fingerprints: the smallest. The same ratings have the same sample."""
    found = {}
    for kind, prints in fingerprints.items():
        rising = np.sort(prints)  # np.unique takes a hundred times as long
        first = np.ones(len(rising), np.bool_)
        first[1:] = rising[1:] != rising[:-1]
        if np.count_nonzero(first) >= LEAST_DISTINCT * len(prints):
            found[kind] = rising[np.flatnonzero(first)[:SAMPLE_SIZE]].tolist()
    return found


def same_data(
    champions: Mapping[str, Sequence[int]], rows: int, fingerprints: Mapping[str, Fingerprints]
) -> bool:
    """Whether the champion was trained with the data that there are now, or with an earlier state of them.

    If the data have grown, they hold most of the champion's ratings. If part of them is missing, those that
    are left are ratings that the champion knows. After the import of another data set neither is true, and
    the new model does not compete with the champion. It is enough that one kind of fingerprint matches: after
    a fault that changes all times, all people or all films, they are still the same data.

    Args:
        champions: the sample of the ratings that the champion was trained with.
        rows: how many these were.
        fingerprints: of the ratings that there are now.
    """
    for kind, prints in fingerprints.items():
        sampled = np.asarray(champions.get(kind, ()), np.uint64)
        kept = float((places(np.sort(prints), sampled) >= 0).mean()) if len(sampled) else 0.0
        if max(kept, kept * rows / max(1, len(prints))) >= LEAST_SHARED:
            return True
    return False


def decide(
    new: Judgement,
    rows: int,
    baselines: Mapping[str, Judgement],
    champion: Champion | None,
    *,
    other_data: bool = False,
) -> Decision:
    """Make it the champion if it is better than the baselines and no worse than the champion beyond noise.

    It is compared with the champion twice. The champion's recipe, fitted on today's data and compared person
    by person, shows whether the new recipe is better. The scores that the champion recorded when it was
    trained show whether the data are still as good: damaged data would make both recipes worse alike.

    Args:
        new: the new model.
        rows: how many ratings it was trained with.
        baselines: ``popularity`` and ``global_mean``.
        champion: the rival; None: there is none.
        other_data: there is a champion that is no rival, because it was trained with other data.
    """
    fallen = _fallen(new.scores, champion) if champion else []
    objections = [*fallen, *([_DAMAGED] if fallen else []), *_below_baselines(new, baselines)]
    if champion:
        if champion.recipe:
            objections += _paired(new, champion.recipe)
        if rows < LEAST_SHARE_OF_ROWS * champion.rows:
            objections.append(f"{rows} ratings are far fewer than the champion's {champion.rows}")
    if objections:
        return Decision(CHALLENGER, tuple(objections), bool(fallen))
    if champion:
        return Decision(CHAMPION, ("not worse than the champion on stars and rankings",))
    if other_data:
        return Decision(CHAMPION, ("the champion was trained with other data, and is no rival",))
    return Decision(CHAMPION, ("no champion to compare with",))


def _below_baselines(new: Judgement, baselines: Mapping[str, Judgement]) -> list[str]:
    popularity, mean = baselines["popularity"], baselines["global_mean"].scores
    objections = [
        *_worse(new.scores.rmse, mean.rmse, "RMSE", "the global mean"),
        *_worse(popularity.scores.ndcg_at_10, new.scores.ndcg_at_10, "nDCG@10", "popularity"),
    ]
    score = "new_ndcg_at_10"
    if score in new.people and popularity.people[score].minus(new.people[score]).estimate().beyond_noise():
        objections.append("new people's nDCG@10 is worse than that of popularity")
    return objections


def _worse(lower: float | None, higher: float | None, metric: str, than: str) -> list[str]:
    """An objection unless ``lower`` is at most ``higher``."""
    if lower is not None and higher is not None and lower <= higher:
        return []
    return [f"{metric} is worse than that of {than}"]


def _paired(new: Judgement, recipe: Judgement) -> list[str]:
    """What is worse than with the champion's recipe, on the same cases of the same people, beyond noise."""
    objections = []
    for score, name, lower_is_better in _COMPARED:
        if score in new.people and score in recipe.people:
            loss = new.people[score].minus(recipe.people[score]).estimate()
            loss = loss if lower_is_better else loss.negative()
            if loss.beyond_noise():
                objections.append(f"{name} is worse than that of the champion's recipe")
    return objections


def _fallen(new: Scores, champion: Champion) -> list[str]:
    """The figures that are worse than the champion's by more than chance or one day's change explains."""
    figures, objections = new.known(), []
    for score, name, lower_is_better in _COMPARED:
        if score not in figures or score not in champion.recorded:
            continue
        now, then, error = figures[score], champion.recorded[score], figures[f"{score}_error"]
        # a champion from before errors were recorded is taken to be as sure as the new model
        error = float(np.hypot(error, champion.recorded.get(f"{score}_error", error)))
        if (now - then if lower_is_better else then - now) > max(FAR * error, FAR_SHARE * then):
            objections.append(
                f"{name} {now:.4f} is far worse than the {then:.4f} that version {champion.version} recorded"
                f" (standard error {error:.4f})"
            )
    return objections
