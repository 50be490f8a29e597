"""One whole training, from ratings to a model and the figures that it is judged by. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dataflix_contract.faults import Fault
from dataflix_recommender import Model
from dataflix_training import evaluation
from dataflix_training.fitting import Factors, RankerData, assemble, fit_ranker, fit_svd
from dataflix_training.ratings import FEWEST_TO_SPLIT, Ratings, split_latest
from dataflix_training.recipe import Recipe
from dataflix_training.scores import Scores, errors

#: Of everybody's ratings the latest fifth is held out for the test; of the rest, an eighth for tuning.
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.125
#: What is tried beside the champion's recipe: factors, learning rate, penalty.
SVD_GRID = ((100, 0.01, 0.1), (100, 0.01, 0.05), (50, 0.01, 0.1))
RANKER_GRID = (100.0, 300.0, 1000.0)
MOST_EPOCHS = 50
#: Epochs without a better RMSE after which a candidate is given up.
PATIENCE = 3
#: A recipe must be better by this share than the champion's to replace it: noise is no reason.
WORTH_CHANGING = 0.001
FEWEST_RATINGS, FEWEST_HOLDOUT_USERS = 1000, 20

_MEANWHILE = (
    "The last model of this catalogue serves on, or else the most popular films are shown, until there are"
    " more ratings (dataflix-import, dataflix-seed)"
)

#: How many pairs, at most, the errors after each epoch are taken from.
_TRAINING_PAIRS, _VALIDATION_PAIRS = 10_000, 50_000
_TUNING_PEOPLE = 1500

#: Called with what goes on and how much of the work is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Curve:
    """RMSE after each epoch of one candidate."""

    recipe: Recipe
    training: list[float]
    validation: list[float]

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the lowest validation RMSE."""
        return int(np.argmin(self.validation)) + 1

    def at(self, epochs: int) -> float:
        """The validation RMSE after so many epochs, or the last when it was given up before."""
        return self.validation[min(epochs, len(self.validation)) - 1]


@dataclass(frozen=True, slots=True)
class Experiment:
    """What came of a training.

    Attributes:
        model: fitted on all ratings with the tuned recipe: what is deployed.
        recipe: the tuned one.
        scores: by name; ``dataflix`` is the tuned recipe, fitted on what precedes the test.
        champion: scores of the champion's recipe on the same parts; None without a champion.
        curves: of the candidates, the chosen one first.
        ranker_ndcg: validation nDCG@10 by the ranker's penalty.
        error_by_count: rows of (least ratings of the film, held-out ratings, RMSE).
        parts: how many ratings trained, tuned and tested.
    """

    model: Model
    recipe: Recipe
    scores: dict[str, Scores]
    champion: Scores | None
    curves: list[Curve]
    ranker_ndcg: dict[float, float]
    error_by_count: list[tuple[int, int, float]]
    parts: dict[str, int]


def why_not(ratings: Ratings) -> str:
    """Why no model can be made of these ratings, and what to do; empty: one can.

    None of these is a fault: a young service has few ratings, and people who only like give equal ones. What
    is popular can be shown without a model.
    """
    if len(ratings) < FEWEST_RATINGS:
        return f"{len(ratings)} ratings are too few, {FEWEST_RATINGS} are needed. {_MEANWHILE}"
    if np.ptp(ratings.stars) == 0:
        return (
            f"all {len(ratings)} ratings are of {ratings.stars[0]:g} stars, which teach nothing about taste."
            f" {_MEANWHILE}"
        )
    rest, test = split_latest(ratings, TEST_SHARE)
    found = len(evaluation.holdout_users(rest, test).user_ids)
    if found < FEWEST_HOLDOUT_USERS:
        return (
            f"{found} people have rated {FEWEST_TO_SPLIT} films or more and liked one of the latest of them,"
            f" {FEWEST_HOLDOUT_USERS} are needed to judge a model. {_MEANWHILE}"
        )
    if not len(evaluation.holdout_users(*split_latest(rest, VALIDATION_SHARE)).user_ids):
        return f"nobody has rated enough films to choose between models. {_MEANWHILE}"
    return ""


def run_experiment(
    ratings: Ratings, champion: Recipe | None = None, progress: Progress = lambda _text, _share: None
) -> Experiment:
    """Tune, judge, and fit the model to deploy.

    Args:
        ratings: all of them.
        champion: the recipe of the model in service: tried first, and judged on the same parts.
        progress: told what goes on.

    Raises:
        Fault: no model can be made of these ratings; :func:`why_not` asks before.
    """
    if why := why_not(ratings):
        raise Fault(why)
    rest, test = split_latest(ratings, TEST_SHARE)
    holdout = evaluation.holdout_users(rest, test)
    tuned, curves, ranker_ndcg = _tune(rest, champion, progress)
    progress("judging", 0.6)
    factors, model = _fit(rest, tuned)
    scores = {"dataflix": evaluation.evaluate_model(model, factors, holdout, test)}
    progress("judging Surprise's SVD and the baselines", 0.7)
    defaults = fit_svd(rest, Recipe(seed=tuned.seed))
    scores["surprise_svd"] = evaluation.evaluate_svd(defaults, holdout, test)
    scores["popularity"] = evaluation.evaluate_popularity(model, rest, holdout, test)
    scores["global_mean"] = evaluation.evaluate_mean(rest, test)
    progress("judging the champion's recipe", 0.8)
    champion_scores = scores["dataflix"] if champion else None
    if champion and champion != tuned:
        its_factors, its_model = _fit(rest, champion)
        champion_scores = evaluation.evaluate_model(its_model, its_factors, holdout, test)
    progress("fitting on all ratings", 0.9)
    rmse = scores["dataflix"].rmse or 1.0
    final = assemble(ratings, fit_svd(ratings, tuned), fit_ranker(ratings, tuned), rmse**2)
    return Experiment(
        final,
        tuned,
        scores,
        champion_scores,
        curves,
        ranker_ndcg,
        _error_by_count(factors, rest, test),
        {"rows_trained": len(rest), "rows_tested": len(test)},
    )


def _tune(
    rest: Ratings, champion: Recipe | None, progress: Progress
) -> tuple[Recipe, list[Curve], dict[float, float]]:
    """The best recipe by validation; the SVD's part by RMSE, the ranker's by nDCG@10."""
    train, validation = split_latest(rest, VALIDATION_SHARE)
    base = champion or Recipe()
    recipes = _candidates(base)
    curves = []
    for number, recipe in enumerate(recipes):
        progress(f"tuning the SVD, {number + 1} of {len(recipes)}", 0.4 * number / len(recipes))
        curves.append(_curve(train, validation, recipe))
    best = min(curves, key=lambda curve: min(curve.validation))
    tuned = replace(best.recipe, epochs=best.best_epoch)
    if champion and curves[0].at(champion.epochs) <= min(best.validation) * (1 + WORTH_CHANGING):
        best, tuned = curves[0], champion
    curves.sort(key=lambda curve: curve is not best)

    data = RankerData(train, base)
    factors = fit_svd(train, replace(tuned, epochs=1))  # the ranking does not look at stars
    holdout = evaluation.holdout_users(train, validation, _TUNING_PEOPLE)
    ndcg = {}
    penalties = list(dict.fromkeys([base.ranker_penalty, *RANKER_GRID]))
    for number, penalty in enumerate(penalties):
        progress(f"tuning the ranker, {number + 1} of {len(penalties)}", 0.4 + 0.2 * number / len(penalties))
        model = assemble(train, factors, data.fit(penalty), 1.0)
        ndcg[penalty] = evaluation.evaluate_ranker(model, holdout)[0]
    highest = max(ndcg, key=lambda penalty: ndcg[penalty])
    keep = ndcg[base.ranker_penalty] >= ndcg[highest] * (1 - WORTH_CHANGING)
    return replace(tuned, ranker_penalty=base.ranker_penalty if keep else highest), curves, ndcg


def _candidates(base: Recipe) -> list[Recipe]:
    """The base first, then the grid; each once."""
    grid = [
        replace(base, factors=factors, learning_rate=rate, penalty=penalty)
        for factors, rate, penalty in SVD_GRID
    ]
    return list(dict.fromkeys([base, *grid]))


def _curve(train: Ratings, validation: Ratings, recipe: Recipe) -> Curve:
    """Fit for as long as it gets better, and note the errors after each epoch."""
    training_pairs, validation_pairs = _sample(train, _TRAINING_PAIRS), _sample(validation, _VALIDATION_PAIRS)
    curve = Curve(recipe, [], [])

    def after_epoch(factors: Factors, _done: int) -> bool:
        for pairs, errors_so_far in ((training_pairs, curve.training), (validation_pairs, curve.validation)):
            errors_so_far.append(errors(factors.predict(pairs.user_ids, pairs.movie_ids), pairs.stars)[0])
        return len(curve.validation) - curve.best_epoch >= PATIENCE

    fit_svd(train, replace(recipe, epochs=MOST_EPOCHS), after_epoch)
    return curve


def _sample(ratings: Ratings, most: int) -> Ratings:
    """At most so many, evenly spread."""
    if len(ratings) <= most:
        return ratings
    return ratings[np.linspace(0, len(ratings) - 1, most).astype(np.int64)]


def _fit(ratings: Ratings, recipe: Recipe) -> tuple[Factors, Model]:
    factors = fit_svd(ratings, recipe)
    return factors, assemble(ratings, factors, fit_ranker(ratings, recipe), 1.0)


def _error_by_count(factors: Factors, rest: Ratings, test: Ratings) -> list[tuple[int, int, float]]:
    """The stars' RMSE for films by how often they had been rated before."""
    known, counts = np.unique(rest.movie_ids, return_counts=True)
    places = np.minimum(np.searchsorted(known, test.movie_ids), len(known) - 1)
    seen = np.where(known[places] == test.movie_ids, counts[places], 0)
    off = factors.predict(test.user_ids, test.movie_ids) - test.stars
    edges = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000]
    bins = np.digitize(seen, edges) - 1
    return [
        (edge, int(inside.sum()), float(np.sqrt(np.mean(off[inside] ** 2))))
        for number, edge in enumerate(edges)
        if (inside := bins == number).any()
    ]
