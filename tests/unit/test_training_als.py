"""ALS without Spark: mean and biases, and trainings whose factors a slow implementation fits."""

from dataclasses import replace

import numpy as np
import pytest

from dataflix_recommender import rank
from dataflix_training.als import residuals
from dataflix_training.experiment import run_experiment
from dataflix_training.fitting import ALS_STARS, VBMF_STARS, Factors, Recipe, fit_als, fit_stars
from dataflix_training.ratings import Ratings, in_order, split_latest
from dataflix_training.scores import errors
from support.als import factorise, ratings_by_taste

#: Small enough to be fitted in Python.
SMALL = Recipe(stars=ALS_STARS, als_factors=4, als_penalty=0.05, als_epochs=3)


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return ratings_by_taste()


def test_biases_are_damped_means_and_what_they_leave_is_factorised() -> None:
    big = 5_000_000_000  # an id of 64 bits
    users, movies = np.asarray([1, 1, big, big]), np.asarray([7, big + 1, 7, big + 1])
    left = residuals(in_order(users, movies, np.asarray([5.0, 4.0, 2.0, 1.0]), np.arange(4), 1))
    assert left.user_ids.tolist() == [1, big]
    assert left.item_ids.tolist() == [7, big + 1]
    assert left.mean == 3.0
    # film 7: 5 and 2, so +2 and -1 of 3; with five ratings at 3 added, 1 / (2 + 5)
    assert np.allclose(left.item_bias, [1 / 7, -1 / 7])
    # person 1: +2 and +1, less the films' biases
    assert np.allclose(left.user_bias, [3 / 7, -3 / 7])
    expected = [2 - 1 / 7 - 3 / 7, 1 + 1 / 7 - 3 / 7, -1 - 1 / 7 + 3 / 7, -2 + 1 / 7 + 3 / 7]
    found = dict(zip(zip(left.users.tolist(), left.items.tolist(), strict=True), left.stars, strict=True))
    assert np.allclose([found[0, 0], found[0, 1], found[1, 0], found[1, 1]], expected)


def test_factors_predict_better_than_biases_alone(ratings: Ratings) -> None:
    rest, test = split_latest(ratings, 0.2)
    fitted = fit_als(rest, SMALL, factorise)
    assert _rmse(fitted, test) < 0.7 * _rmse(without_factors(fitted), test)
    mean = errors(np.full(len(test), rest.mean()), test.stars)[0]
    assert _rmse(without_factors(fitted), test) < 0.95 * mean


def without_factors(factors: Factors) -> Factors:
    return replace(factors, user_factors=factors.user_factors * 0)


def _rmse(factors: Factors, test: Ratings) -> float:
    return errors(factors.predict(test.user_ids, test.movie_ids), test.stars)[0]


@pytest.fixture
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflix_training.tuning.ALS_GRID", ((2, 0.05),))


@pytest.mark.usefixtures("small_grid")
@pytest.mark.parametrize("champion", [SMALL, replace(SMALL, stars=VBMF_STARS)], ids=["als", "vbmf"])
def test_where_something_factorises_als_predicts_the_stars_beside_any_champion(
    ratings: Ratings, champion: Recipe
) -> None:
    experiment = run_experiment(ratings, champion, factorise=factorise)
    assert experiment.recipe.stars == ALS_STARS
    assert experiment.tuning.other_rmse
    assert experiment.champion
    judged = experiment.scores["dataflix"]
    assert judged.rmse
    assert judged.rmse < 0.7 * (experiment.scores["global_mean"].rmse or 0)
    assert judged.within_deviation is None, "ALS says nothing of what it does not know"
    model = experiment.model
    assert model.svd_user_bias is not None, "Surprise's SVD is in every package"
    assert len(rank(model, model.profile(1), 10).item_ids) == 10


def test_a_recipe_with_als_is_not_made_with_another_model(ratings: Ratings) -> None:
    with pytest.raises(ValueError, match="needs what factorises"):
        fit_stars(ratings, SMALL, {})
