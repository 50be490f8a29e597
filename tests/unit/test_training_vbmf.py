"""VB-MF against the same model written slowly, and as an algorithm of Surprise's."""

import numpy as np
import pandas as pd
import pytest
import surprise

from dataflix_training.film_features import Film, film_features
from dataflix_training.fitting import Recipe, fit_vbmf
from dataflix_training.ratings import Ratings
from dataflix_training.svd import ArrayTrainset
from dataflix_training.vbmf import VBMF
from support.ratings import sample_ratings


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return sample_ratings(60, 20)


def trainset(ratings: Ratings) -> ArrayTrainset:
    return ArrayTrainset(ratings.user_ids, ratings.movie_ids, ratings.stars)


def features_of(trained: surprise.Trainset) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(4)
    return {item: rng.normal(size=3) for item in trained.raw_items.tolist()}


def slowly(fitted: VBMF, epochs: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The same updates as expectations of matrices, a person or a film at a time, with inverses."""
    rows = [(user, item, stars - fitted.mean) for user, item, stars in fitted.trainset.all_ratings()]
    size = fitted.n_factors + 1
    rng = np.random.RandomState(fitted.random_state)
    x, y = np.zeros((fitted.trainset.n_users, size)), np.zeros((fitted.trainset.n_items, size))
    x[:, 1:], y[:, 1:] = rng.normal(0, 0.1, x[:, 1:].shape), rng.normal(0, 0.1, y[:, 1:].shape)
    x_spread, y_spread = (np.zeros((len(side), size, size)) for side in (x, y))
    x_variance = y_variance = np.asarray([0.25] + [0.1] * (size - 1))
    noise = 0.7 * np.var([target for _, _, target in rows])
    weights = np.zeros((fitted.design.shape[1], size))

    def posterior(
        pairs: list[tuple[int, float]],
        other: np.ndarray,
        spread: np.ndarray,
        prior: np.ndarray,
        var: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        precision, right = np.diag(1 / var), prior / var
        for place, target in pairs:
            second = np.outer(other[place], other[place]) + spread[place]  # of (bias, factors)
            row = np.concatenate([[1.0], other[place, 1:]])
            squared = second.copy()
            squared[0, :] = squared[:, 0] = row
            with_bias = np.concatenate([[other[place, 0]], second[0, 1:]])
            precision = precision + squared / noise
            right = right + (target * row - with_bias) / noise
        covariance = np.linalg.inv(precision)
        return covariance @ right, covariance

    for _ in range(epochs):
        for item in range(len(y)):
            pairs = [(user, target) for user, one, target in rows if one == item]
            y[item], y_spread[item] = posterior(pairs, x, x_spread, fitted.design[item] @ weights, y_variance)
        for user in range(len(x)):
            pairs = [(item, target) for one, item, target in rows if one == user]
            x[user], x_spread[user] = posterior(pairs, y, y_spread, np.zeros(size), x_variance)
        x_variance = np.mean(
            [np.outer(a, a) + b for a, b in zip(x, x_spread, strict=True)], axis=0
        ).diagonal()
        held_back = np.eye(len(weights))
        weights = np.linalg.inv(fitted.design.T @ fitted.design + held_back) @ fitted.design.T @ y
        off = y - fitted.design @ weights
        y_variance = np.mean(
            [np.outer(a, a) + b for a, b in zip(off, y_spread, strict=True)], axis=0
        ).diagonal()
        squares = []
        for user, item, target in rows:
            p, q = x[user, 1:], y[item, 1:]
            pp, qq = np.outer(p, p) + x_spread[user, 1:, 1:], np.outer(q, q) + y_spread[item, 1:, 1:]
            mean = x[user, 0] + y[item, 0] + p @ q
            ones = x_spread[user, 0, 0] + y_spread[item, 0, 0]
            crossed = 2 * (x_spread[user, 0, 1:] @ q + y_spread[item, 0, 1:] @ p)
            squares.append((target - mean) ** 2 + ones + crossed + np.sum(pp * qq) - (p @ q) ** 2)
        noise = float(np.mean(squares))
    return x, y, noise


def test_the_compiled_updates_are_those_of_the_model(ratings: Ratings) -> None:
    trained = trainset(ratings)
    fitted = VBMF(features_of(trained), n_factors=3, n_epochs=4, random_state=7).fit(trained)
    users, items, noise = slowly(fitted, 4)
    assert np.allclose(fitted.users, users, atol=1e-8)
    assert np.allclose(fitted.items, items, atol=1e-8)
    assert fitted.noise == pytest.approx(noise)


def test_it_is_an_algorithm_of_surprise(ratings: Ratings) -> None:
    frame = pd.DataFrame({"u": ratings.user_ids, "i": ratings.movie_ids, "r": ratings.stars})
    data = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(0.5, 5.0)))
    found = surprise.model_selection.cross_validate(VBMF(), data, ["RMSE"], cv=3)
    assert found["test_rmse"].mean() < np.std(ratings.stars)
    fitted = VBMF().fit(trainset(ratings))
    user, item = int(ratings.user_ids[0]), int(ratings.movie_ids[0])
    x = fitted.users[fitted.trainset.to_inner_uid(user)]
    y = fitted.items[fitted.trainset.to_inner_iid(item)]
    assert fitted.predict(user, item).est == pytest.approx(
        np.clip(fitted.mean + x[0] + y[0] + x[1:] @ y[1:], 0.5, 5)
    )
    assert 0.5 <= fitted.predict(10**9, 10**9).est <= 5


def test_a_film_without_ratings_is_believed_to_be_like_those_of_its_kind(ratings: Ratings) -> None:
    """Two films that nobody has rated: one of the genre whose films are liked, one of the other."""
    means = pd.Series(ratings.stars).groupby(ratings.movie_ids).mean()
    liked = means > means.median()
    films: dict[int, Film] = {
        int(one): (f"Film {one}", 1990, ("Good" if liked[one] else "Bad",)) for one in means.index
    }
    films |= {9001: ("New", 1990, ("Good",)), 9002: ("Newer", 1990, ("Bad",)), 9003: ("Odd", None, ())}
    found = fit_vbmf(ratings, Recipe(), films)
    assert found.uncertain
    assert found.item_ids[-3:].tolist() == [9001, 9002, 9003]
    good, bad = found.item_bias[-3:-1]
    assert good > bad + 0.2
    user = np.asarray([int(ratings.user_ids[0])] * 2)
    assert np.diff(found.predict(user, np.asarray([9002, 9001])))[0] > 0
    assert found.uncertain.item_variance[-3:].min() > np.median(found.uncertain.item_variance)


def test_features_are_genres_year_and_number_of_ratings() -> None:
    films: dict[int, Film] = {1: ("One", 2010, ("Drama", "War")), 2: ("Two", None, ())}
    found = film_features(np.asarray([1, 2, 3]), np.asarray([0, 1, 19]), films)
    rated = np.log1p([0, 1, 19]) / 3
    assert np.allclose(found[:, :2], [[1, 1], [0, 0], [0, 0]])
    assert np.allclose(found[:, 2], [1, 0, 0])
    assert np.allclose(found[:, 4:], np.column_stack([rated, rated**2]))
