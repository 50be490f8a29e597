"""One whole training, from ratings to a model and the figures that it is judged by. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from dataflix_contract.faults import Fault
from dataflix_recommender import Model
from dataflix_training import evaluation
from dataflix_training.als import Factorise
from dataflix_training.evaluation import (
    HoldoutUsers,
    NewPeople,
    choose_new_people,
    evaluate_new_people,
    evaluate_popularity_for_new_people,
)
from dataflix_training.film_features import Film, catalogue_ids
from dataflix_training.fitting import (
    SVD_STARS,
    Factors,
    Recipe,
    assemble,
    fit_ranker,
    fit_stars,
    fit_svd,
    with_svd,
)
from dataflix_training.ratings import FEWEST_TO_SPLIT, Ratings, split_latest
from dataflix_training.scores import Judgement, Scores
from dataflix_training.scores_by_group import Groups, by_group
from dataflix_training.tuning import VALIDATION_SHARE, Progress, Tuned, tune

#: Of everybody's ratings the latest fifth is held out for the test.
TEST_SHARE = 0.2
FEWEST_RATINGS, FEWEST_HOLDOUT_USERS = 1000, 20
#: How many ratings somebody needs so that one of them is held out for the choice of the recipe: of 9 ratings,
#: 8 are left after the test's part, and an eighth of these is one. Of 8 ratings, too few are left.
FEWEST_TO_CHOOSE = 9

_MEANWHILE = (
    "The last model of this catalogue stays in service; without one, the most popular films are shown, until"
    " there are more ratings (dataflix-import, dataflix-seed)"
)

#: The draw of :func:`choose_new_people` that chooses who is treated as new in the test.
_TEST_DRAW = 0


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """How the recipe was chosen and judged: what is known before the model to deploy is fitted."""

    judgements: dict[str, Judgement]
    champion: Judgement | None
    tuning: Tuned
    groups: Groups
    parts: dict[str, int]

    @property
    def recipe(self) -> Recipe:
        """The tuned one."""
        return self.tuning.recipe


@dataclass(frozen=True, slots=True)
class Experiment(_Evaluation):
    """What came of a training.

    Attributes:
        judgements: by name; ``dataflix`` is the tuned recipe, fitted on what precedes the test.
        champion: the champion's recipe, judged on the same parts; None without a champion.
        tuning: how the recipe was chosen.
        groups: the figures of ``dataflix`` by people's and films' number of ratings, and by films' year.
        parts: how many ratings and people trained, tuned and tested.
        model: fitted on all ratings with the tuned recipe: what is deployed.
    """

    model: Model

    @property
    def scores(self) -> dict[str, Scores]:
        """The figures of each judgement."""
        return {name: judged.scores for name, judged in self.judgements.items()}


def why_not(ratings: Ratings) -> str:
    """Why no model can be made of these ratings, and what to do; empty: one can.

    None of these is an error: a new service has few ratings, and they are all equal if people only say what
    they like. Popular films can be shown without a model.
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
        return (
            f"nobody has rated {FEWEST_TO_CHOOSE} films or more and liked one of the latest of them, by which"
            f" one model would be chosen rather than another. {_MEANWHILE}"
        )
    return ""


def run_experiment(  # noqa: PLR0913 - what all of a training is given
    ratings: Ratings,
    champion: Recipe | None = None,
    progress: Progress = lambda _text, _share: None,
    films: Mapping[int, Film] = MappingProxyType({}),
    factorise: Factorise | None = None,
    *,
    pin_svd: bool = False,
) -> Experiment:
    """Tune, judge, and fit the model to deploy.

    Args:
        ratings: all of them.
        champion: the recipe of the model in service: tried first, and judged on the same parts.
        progress: told what goes on.
        films: the catalogue: genres and years say something about films that few have rated.
        factorise: fits ALS, which then predicts the stars; None: choose between the SVD and VB-MF.
            The champion's recipe may have ALS only where this is given.
        pin_svd: let Surprise's SVD predict the stars, whatever is better.

    Raises:
        Fault: no model can be made of these ratings; :func:`why_not` asks before.
    """
    if why := why_not(ratings):
        raise Fault(why)
    judged = _tune_and_evaluate(ratings, champion, progress, films, factorise, pin_svd=pin_svd)
    tuned = judged.recipe
    progress("fitting the SVD on all ratings", 0.9)
    svd = fit_svd(ratings, tuned)
    progress("fitting the stars and the ranker on all ratings", 0.95)
    stars = svd if tuned.stars == SVD_STARS else fit_stars(ratings, tuned, films, factorise)
    item_ids, ranker = catalogue_ids(ratings.movie_ids, films), fit_ranker(ratings, tuned, films)
    rmse = judged.judgements["dataflix"].scores.rmse or 1.0
    model = assemble(ratings, stars, ranker, item_ids, rmse**2, tuned.watched)
    if stars.uncertain:
        model = replace(model, calibration=judged.tuning.calibration)
    if stars is not svd:
        model = with_svd(model, svd)
    return Experiment(judged.judgements, judged.champion, judged.tuning, judged.groups, judged.parts, model)


def fit_recipe(
    ratings: Ratings, recipe: Recipe, films: Mapping[int, Film], factorise: Factorise | None = None
) -> tuple[Factors, Model]:
    """Fit a recipe: what predicts stars, and the whole model, for the whole catalogue."""
    factors = fit_stars(ratings, recipe, films, factorise)
    item_ids, ranker = catalogue_ids(ratings.movie_ids, films), fit_ranker(ratings, recipe, films)
    return factors, assemble(ratings, factors, ranker, item_ids, 1.0, recipe.watched)


def _tune_and_evaluate(  # noqa: PLR0913 - as above
    ratings: Ratings,
    champion: Recipe | None,
    progress: Progress,
    films: Mapping[int, Film],
    factorise: Factorise | None,
    *,
    pin_svd: bool,
) -> _Evaluation:
    """Tune and judge; models that are no longer needed are released before the next one is fitted."""
    rest, test = split_latest(ratings, TEST_SHARE)
    tuning = tune(rest, champion, progress, films, factorise, pin_svd=pin_svd)
    tuned = tuning.recipe
    progress("judging", 0.6)
    holdout = evaluation.holdout_users(rest, test)
    evaluator = _Evaluator(
        rest, test, holdout, choose_new_people(rest, ratings, _TEST_DRAW), films, factorise
    )
    factors, model = fit_recipe(rest, tuned, films, factorise)
    if factors.uncertain:
        model = replace(model, calibration=tuning.calibration)
    judgements = {"dataflix": evaluator.evaluate(tuned, factors, model)}
    progress("judging Surprise's SVD and the baselines", 0.7)
    judgements |= evaluator.baselines(fit_svd(rest, Recipe(seed=tuned.seed)), model)
    groups = by_group(factors.predict(test.user_ids, test.movie_ids), rest, test, films)
    groups = groups.with_rankings(rest, holdout.user_ids, judgements["dataflix"].people["ndcg_at_10"])
    del factors, model
    progress("judging the champion's recipe", 0.8)
    champion_judged = judgements["dataflix"] if champion else None
    if champion and champion != tuned:
        champion_judged = evaluator.evaluate(champion, *fit_recipe(rest, champion, films, factorise))
    parts = {
        "rows_trained": len(rest),
        "rows_tested": len(test),
        "rows_tuned": tuning.rows,
        "people": tuning.people[1],
        "people_tuned": tuning.people[0],
        "people_ranked": len(holdout.user_ids),
    }
    return _Evaluation(judgements, champion_judged, tuning, groups, parts)


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """What models are judged by: the held-out part, and people who are left out as a whole."""

    rest: Ratings
    test: Ratings
    holdout: HoldoutUsers
    new: NewPeople | None
    films: Mapping[int, Film]
    factorise: Factorise | None

    def evaluate(self, recipe: Recipe, factors: Factors, model: Model) -> Judgement:
        """Judge a recipe: what was fitted with it on ``rest``, and a fit without the new people."""
        cases = None
        if self.new:
            _, without = fit_recipe(self.new.others, recipe, self.films, self.factorise)
            cases = evaluate_new_people(without, self.new)
        return evaluation.evaluate_model(model, factors, self.holdout, self.test, cases)

    def baselines(self, svd: Factors, model: Model) -> dict[str, Judgement]:
        """Judge Surprise's SVD, and popularity and the global mean, which know nobody's taste."""
        cases = evaluate_popularity_for_new_people(self.new) if self.new else None
        return {
            "surprise_svd": evaluation.evaluate_svd(svd, self.holdout, self.test),
            "popularity": evaluation.evaluate_popularity(model, self.rest, self.holdout, self.test, cases),
            "global_mean": evaluation.evaluate_mean(self.rest, self.test),
        }
