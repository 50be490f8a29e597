"""Choose a recipe by ratings that are held out from the fits. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from dataflix_recommender import Model
from dataflix_training.als import Factorise
from dataflix_training.ease import RankerData, SparseRows, no_rows
from dataflix_training.evaluation import (
    choose_new_people,
    evaluate_ranker,
    holdout_users,
    in_deviations,
    rank_new_people,
)
from dataflix_training.film_features import Film
from dataflix_training.fitting import (
    ALS_STARS,
    SVD_STARS,
    VBMF_STARS,
    Factors,
    Recipe,
    assemble,
    fit_als,
    fit_svd,
    fit_vbmf,
    stars_alone,
    with_ranker,
)
from dataflix_training.ratings import Ratings, some_people, split_latest
from dataflix_training.scores import ByPerson, errors, squared_errors

#: Of everybody's ratings but those of the test, the latest eighth is held out.
VALIDATION_SHARE = 0.125
#: What is tried beside the champion's recipe: factors, learning rate, penalty.
SVD_GRID = ((100, 0.03, 0.1), (100, 0.02, 0.05), (50, 0.03, 0.1))
#: As above, of ALS: factors, penalty.
ALS_GRID = ((32, 0.15), (64, 0.1), (16, 0.2))
#: The share of a normal distribution within one standard deviation.
WITHIN_ONE = 0.6827
#: Recipes are chosen by so many ratings at most: all ratings of some people, who are chosen at random.
MOST_RATINGS = 4_000_000
#: A fit ends after so many epochs even if it still gets better; none has come near that.
MOST_EPOCHS = 300
#: A candidate is given up when it has not got better by this share in so many epochs.
LEAST_GAIN, PATIENCE = 1e-4, 3

#: The errors after each epoch are computed from so many pairs at most.
_TRAINING_PAIRS, _VALIDATION_PAIRS = 10_000, 50_000

#: What is tried for the ranker beside the recipe that is there. With a ``watched`` above 1 the lowest rating
#: of a harsh rater would speak for similar films.
PENALTIES, MOST_SELF, WATCHED = (100.0, 300.0, 1000.0), (0.0, 0.2), (0.25, 0.5, 1.0)
#: By how many standard errors a candidate must be better: the best of eight equally good ones is 1.4 above
#: by chance.
_BEYOND = 2.0

_PEOPLE = 1500
#: The draw of :func:`choose_new_people` that says who is treated as new here: other people than in the test.
_DRAW = 1

#: Called with what goes on and how much of the work is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(slots=True)
class Curve:
    """Errors after each epoch of one candidate.

    Attributes:
        recipe: the candidate.
        training: RMSE on what it learns from.
        validation: RMSE on what it is chosen by.
        best_epoch: the last one, from 1, that made the validation better.
        best: squared errors of the validation after that epoch.
        own: as ``best``, after the recipe's own number of epochs, or the last if it was given up before.
    """

    recipe: Recipe
    training: list[float]
    validation: list[float]
    best_epoch: int
    best: ByPerson
    own: ByPerson

    @property
    def lowest(self) -> float:
        """The validation RMSE after the best epoch."""
        return self.validation[self.best_epoch - 1]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The recipe that was chosen, and what it was chosen from.

    Attributes:
        recipe: the best one, or the one that was tried first where no other is better beyond noise.
        curves: of the SVD's candidates, the chosen one first.
        other_rmse: on the validation, that of VB-MF or, where there is Spark, ALS; None: the SVD is pinned.
        calibration: of VB-MF's standard deviations, as :class:`~dataflix_recommender.Model` has it.
        people: how many it was chosen by, and of how many.
        rows: how many ratings they have.
    """

    recipe: Recipe
    curves: list[Curve]
    other_rmse: float | None
    calibration: float
    people: tuple[int, int]
    rows: int


def tune(  # noqa: PLR0913 - what all of a training is given
    rest: Ratings,
    champion: Recipe | None,
    progress: Progress,
    films: Mapping[int, Film],
    factorise: Factorise | None,
    *,
    pin_svd: bool,
) -> Tuned:
    """Choose the best recipe on the validation part: the SVD's settings by RMSE, the ranker's by nDCG@10.

    The champion's recipe, or the default one, stays unless another is better beyond noise, by the paired
    difference over people.

    Args:
        rest: all ratings but those of the test.
        champion: the recipe of the model in service; None: there is none.
        progress: told what goes on.
        films: the catalogue.
        factorise: fits ALS, which then predicts the stars; None: choose between the SVD and VB-MF.
        pin_svd: let Surprise's SVD predict the stars, whatever is better.
    """
    some = some_people(rest, MOST_RATINGS)
    people = len(np.unique(some.user_ids)), len(np.unique(rest.user_ids))
    if people[0] < people[1]:
        progress(f"choosing a recipe by {people[0]:,} of {people[1]:,} people", 0.0)
    train, validation = split_latest(some, VALIDATION_SHARE)
    base = champion or Recipe()
    recipes = _candidates(base)
    curves = []
    for number, recipe in enumerate(recipes):
        progress(f"tuning the SVD, {number + 1} of {len(recipes)}", 0.38 * number / len(recipes))
        curves.append(_curve(train, validation, recipe))
    best = min(curves, key=lambda curve: curve.lowest)
    tuned = replace(best.recipe, epochs=best.best_epoch)
    if not curves[0].own.minus(best.best).estimate().beyond_noise():
        best, tuned = curves[0], base
    curves.sort(key=lambda curve: curve is not best)
    other_rmse, calibration = None, 1.0
    if pin_svd:
        tuned = replace(tuned, stars=SVD_STARS)
    elif factorise:
        progress("tuning ALS", 0.38)
        tuned, other_rmse = _tune_als(train, validation, replace(tuned, stars=ALS_STARS), factorise)
    else:
        progress("fitting VB-MF", 0.38)
        vbmf = fit_vbmf(train, tuned, films)
        squares, other_rmse = _judge_stars(vbmf, validation)
        svd = curves[0].own if tuned.epochs == curves[0].recipe.epochs else curves[0].best
        tuned = replace(tuned, stars=_better(tuned.stars, svd, squares))
        apart = in_deviations(stars_alone(train, vbmf), validation)
        calibration = float(np.quantile(apart, WITHIN_ONE)) if apart is not None else 1.0
    tuned = tune_ranker(
        train, validation, tuned, lambda share: progress("tuning the ranker", 0.4 + 0.2 * share)
    )
    return Tuned(tuned, curves, other_rmse, calibration, people, len(some))


def tune_ranker(
    train: Ratings, validation: Ratings, base: Recipe, progress: Callable[[float], None]
) -> Recipe:
    """Choose the settings of the ranker that rank best: first the item-item matrix, then the scoring.

    Each is chosen by nDCG@10, averaged over people of whom 1, 3, 5, 10, 20 and all ratings are known. The
    base's setting stays unless another is better beyond noise.

    Args:
        train: to fit on.
        validation: later ratings of the same people.
        base: its ranker's part is tried first.
        progress: told the share that is done.
    """
    judge = _RankerJudge(train, validation, base)
    matrices = [
        replace(base, ranker_penalty=penalty, ranker_self=most_self)
        for penalty, most_self in product(dict.fromkeys([base.ranker_penalty, *PENALTIES]), MOST_SELF)
    ]
    total = len(matrices) + len(WATCHED) + 2
    chosen = judge.best(base, matrices, lambda done: progress(done / total))
    scorings = [replace(chosen, watched=watched) for watched in WATCHED]
    return judge.best(chosen, scorings, lambda done: progress(done / total))


def _tune_als(
    train: Ratings, validation: Ratings, base: Recipe, factorise: Factorise
) -> tuple[Recipe, float]:
    """The base, or the recipe of the grid that is better than it beyond noise; and its RMSE."""
    grid = [replace(base, als_factors=factors, als_penalty=penalty) for factors, penalty in ALS_GRID]
    recipes = list(dict.fromkeys([base, *grid]))
    judged = [_judge_stars(fit_als(train, recipe, factorise), validation) for recipe in recipes]
    best = min(range(len(recipes)), key=lambda place: judged[place][1])
    if not judged[0][0].minus(judged[best][0]).estimate().beyond_noise():
        best = 0
    return recipes[best], judged[best][1]


def _judge_stars(factors: Factors, validation: Ratings) -> tuple[ByPerson, float]:
    """Squared errors and RMSE on the validation, or an even part of it."""
    pairs = _sample(validation, _VALIDATION_PAIRS)
    predicted = factors.predict(pairs.user_ids, pairs.movie_ids)
    return squared_errors(predicted, pairs.stars, pairs.user_ids), errors(predicted, pairs.stars)[0]


def _better(now: str, svd: ByPerson, vbmf: ByPerson) -> str:
    """Choose what predicts stars: what does so now, unless the other is better beyond noise."""
    if now == VBMF_STARS:
        return SVD_STARS if vbmf.minus(svd).estimate().beyond_noise() else VBMF_STARS
    return VBMF_STARS if svd.minus(vbmf).estimate().beyond_noise() else SVD_STARS


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
    nothing = ByPerson(np.zeros(0), np.zeros(0))
    curve = Curve(recipe, [], [], 1, nothing, nothing)

    def after_epoch(factors: Factors, done: int) -> bool:
        predicted = factors.predict(training_pairs.user_ids, training_pairs.movie_ids)
        curve.training.append(errors(predicted, training_pairs.stars)[0])
        predicted = factors.predict(validation_pairs.user_ids, validation_pairs.movie_ids)
        curve.validation.append(errors(predicted, validation_pairs.stars)[0])
        squares = squared_errors(predicted, validation_pairs.stars, validation_pairs.user_ids)
        if done == 1 or curve.validation[-1] < curve.lowest * (1 - LEAST_GAIN):
            curve.best_epoch, curve.best = done, squares
        if done <= recipe.epochs:
            curve.own = squares
        return done - curve.best_epoch >= PATIENCE

    fit_svd(train, replace(recipe, epochs=MOST_EPOCHS), after_epoch)
    return curve


def _sample(ratings: Ratings, most: int) -> Ratings:
    """At most so many, evenly spread."""
    if len(ratings) <= most:
        return ratings
    return ratings[np.linspace(0, len(ratings) - 1, most).astype(np.int64)]


class _RankerJudge:
    def __init__(self, train: Ratings, validation: Ratings, recipe: Recipe) -> None:
        self._known, self._holdout = _Fits(train, recipe), holdout_users(train, validation, _PEOPLE)
        self._new = choose_new_people(train, train, _DRAW)
        self._others = _Fits(self._new.others, recipe) if self._new else None
        self._found: dict[Recipe, ByPerson] = {}

    def best(self, base: Recipe, others: Iterable[Recipe], done: Callable[[int], None]) -> Recipe:
        """The recipe that ranks best, or the base where that is not better beyond noise."""
        recipes = list(dict.fromkeys([base, *others]))
        for recipe in recipes:
            if recipe not in self._found:
                self._found[recipe] = self._gains(recipe)
            done(len(self._found))
        best = max(recipes, key=lambda recipe: self._found[recipe].estimate().value)
        gained = self._found[best].minus(self._found[base]).estimate()
        return best if gained.beyond_noise(_BEYOND) else base

    def _gains(self, recipe: Recipe) -> ByPerson:
        """nDCG@10 in which each number of ratings counts the same, however many people have that many."""
        known = evaluate_ranker(self._known.model(recipe), self._holdout).gains.sums[:, np.newaxis]
        tables = [known]
        if self._new and self._others:
            # without those who have rated nothing: all recipes show them the same popularity list
            tables.append(rank_new_people(self._others.model(recipe), self._new)[:, 1:])
        groups = sum(int(np.isfinite(table).any(axis=0).sum()) for table in tables)
        sums, cases = [], []
        for table in tables:
            there = np.isfinite(table)
            shares = there / np.maximum(1, there.sum(axis=0)) / groups
            sums.append(np.nansum(table * shares, axis=1))
            cases.append(shares.sum(axis=1))
        return ByPerson(np.concatenate(sums), np.concatenate(cases))


class _Fits:
    """Models of the same ratings that differ in the ranker: the stars do not matter here."""

    def __init__(self, ratings: Ratings, recipe: Recipe) -> None:
        self._data = RankerData(ratings, recipe)
        factors = fit_svd(ratings, replace(recipe, factors=1, epochs=1))
        item_ids = self._data.item_ids
        self._without = assemble(ratings, factors, no_rows(len(item_ids)), item_ids, 1.0, 0.0)
        self._rows: dict[tuple[float, float], SparseRows] = {}

    def model(self, recipe: Recipe) -> Model:
        """A model with the recipe's ranker; each matrix is made once."""
        matrix = (recipe.ranker_penalty, recipe.ranker_self)
        if matrix not in self._rows:
            self._rows[matrix] = self._data.fit(recipe)
        return replace(with_ranker(self._without, self._rows[matrix]), watched=recipe.watched)
