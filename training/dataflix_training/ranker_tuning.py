"""Choose the ranker's part of a recipe, for people who are known well and for people who are new. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

import numpy as np

from dataflix_recommender import Model
from dataflix_training.ease import SparseRows
from dataflix_training.evaluation import evaluate_ranker, holdout_users
from dataflix_training.fitting import RankerData, assemble, fit_svd, with_ranker
from dataflix_training.new_people import leave_out, rank_new_people
from dataflix_training.ratings import Ratings
from dataflix_training.recipe import Recipe
from dataflix_training.scores import ByPerson

#: What is tried beside the recipe that is there. With a ``watched`` above 1 the lowest rating of a harsh
#: rater would speak for similar films.
PENALTIES, MOST_SELF, WATCHED = (100.0, 300.0, 1000.0), (0.0, 0.2), (0.25, 0.5, 1.0)
#: By how many standard errors a candidate must be better: the best of eight that are all alike is 1.4 above
#: by chance.
_BEYOND = 2.0

_PEOPLE = 1500
#: Who is taken for new here: others than in the test.
_DRAW = 1


def tune_ranker(
    train: Ratings, validation: Ratings, base: Recipe, progress: Callable[[float], None]
) -> Recipe:
    """The base with what ranks best: first the item-item matrix, then the scoring.

    Each is chosen by nDCG@10, averaged over people of whom 1, 3, 5, 10, 20 and all ratings are known. The
    base's stays where another is not better beyond noise.

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


class _RankerJudge:
    def __init__(self, train: Ratings, validation: Ratings, recipe: Recipe) -> None:
        self._known, self._holdout = _Fits(train, recipe), holdout_users(train, validation, _PEOPLE)
        self._new = leave_out(train, train, _DRAW)
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
        gained = self._found[best].less(self._found[base]).estimate()
        return best if gained.beyond_noise(_BEYOND) else base

    def _gains(self, recipe: Recipe) -> ByPerson:
        """nDCG@10 in which each number of ratings counts the same, however many people have so many."""
        known = evaluate_ranker(self._known.model(recipe), self._holdout).gains.sums[:, np.newaxis]
        tables = [known]
        if self._new and self._others:
            # nothing is learnt from those who have rated nothing: it is the popularity list for all
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
        self._without = assemble(ratings, factors, self._data.nothing(), 1.0, 0.0)
        self._rows: dict[tuple[float, float], SparseRows] = {}

    def model(self, recipe: Recipe) -> Model:
        """A model with the recipe's ranker; each matrix is made once."""
        matrix = (recipe.ranker_penalty, recipe.ranker_self)
        if matrix not in self._rows:
            self._rows[matrix] = self._data.fit(recipe)
        return replace(with_ranker(self._without, self._rows[matrix]), watched=recipe.watched)
