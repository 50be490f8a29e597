"""The compiled SVD gives Surprise's numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from threadpoolctl import threadpool_limits

from dataflix_training.svd import SVD, ArrayTrainset
from support.ratings import synthetic_ratings

PARAMETERS = ("bu", "bi", "pu", "qi")


def surprise_trainset(frame: pd.DataFrame) -> surprise.Trainset:
    reader = surprise.Reader(rating_scale=(0.5, 5.0))
    return surprise.Dataset.load_from_df(frame, reader).build_full_trainset()


def array_trainset(frame: pd.DataFrame) -> ArrayTrainset:
    return ArrayTrainset(*(frame[name].to_numpy() for name in frame.columns))


@pytest.fixture(scope="module")
def shuffled() -> pd.DataFrame:
    made = synthetic_ratings(users=120, items=90, rows=3000)
    frame = pd.DataFrame({"user": made.user_ids, "item": made.movie_ids, "rating": made.stars})
    return frame.sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_factors": 7, "n_epochs": 3},
        {"biased": False},
        {"lr_pu": 0.01, "reg_bi": 0.1, "init_mean": 0.1},
    ],
    ids=str,
)
def test_parameters_equal_those_of_surprise_bit_by_bit(
    shuffled: pd.DataFrame, options: dict[str, Any]
) -> None:
    theirs = surprise.SVD(random_state=5, **options).fit(surprise_trainset(shuffled))
    for trainset in (array_trainset(shuffled), surprise_trainset(shuffled)):
        ours = SVD(random_state=5, **options).fit(trainset)
        for name in PARAMETERS:
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_the_number_of_threads_changes_no_bit_of_either_mode(shuffled: pd.DataFrame) -> None:
    fits = {}
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits[threads] = [
                SVD(random_state=5, fast=fast).fit(array_trainset(shuffled)) for fast in (False, True)
            ]
    for one, two in zip(fits[1], fits[2], strict=True):
        for name in PARAMETERS:
            assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_on_movielens_too(movielens: Path) -> None:
    frame = pd.read_csv(movielens / "ratings.csv")[["userId", "movieId", "rating"]]
    theirs = surprise.SVD(random_state=0).fit(surprise_trainset(frame))
    ours = SVD(random_state=0).fit(array_trainset(frame))
    fast = SVD(random_state=0, fast=True).fit(array_trainset(frame))
    for name in PARAMETERS:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        assert np.allclose(getattr(fast, name), getattr(theirs, name), rtol=0, atol=1e-9), name
    for user, item in ((1, 1), (1, 10**9), (10**9, 1), (10**9, 10**9)):
        assert ours.predict(user, item) == theirs.predict(user, item)


def test_the_fast_mode_is_other_code_that_differs_by_rounding_only(shuffled: pd.DataFrame) -> None:
    exact = SVD(random_state=5).fit(array_trainset(shuffled))
    fast = SVD(random_state=5, fast=True).fit(array_trainset(shuffled))
    assert np.allclose(exact.qi, fast.qi, rtol=0, atol=1e-9)
    # equal to the last bit would mean that Numba's cache gave the exact code for the fast one
    assert not np.array_equal(exact.qi, fast.qi)


def test_the_trainset_is_the_one_that_surprise_builds(shuffled: pd.DataFrame) -> None:
    theirs, ours = surprise_trainset(shuffled), array_trainset(shuffled)
    assert (ours.n_users, ours.n_items, ours.n_ratings) == (theirs.n_users, theirs.n_items, theirs.n_ratings)
    assert list(ours.all_ratings()) == list(theirs.all_ratings())
    assert (ours.ur, ours.ir) == (theirs.ur, theirs.ir)
    assert ours.global_mean == theirs.global_mean
    user = int(shuffled["user"].iloc[0])
    assert ours.to_inner_uid(user) == theirs.to_inner_uid(user) == 0
    assert ours.to_raw_uid(0) == user
    assert not ours.knows_user("UKN__9")
    assert not ours.knows_item(ours.n_items)


def test_surprises_other_algorithms_take_the_trainset(shuffled: pd.DataFrame) -> None:
    theirs = surprise.BaselineOnly(verbose=False).fit(surprise_trainset(shuffled))
    ours = surprise.BaselineOnly(verbose=False).fit(array_trainset(shuffled))
    assert np.allclose(ours.bu, theirs.bu)


def test_a_fit_can_be_watched_and_ended(shuffled: pd.DataFrame) -> None:
    epochs: list[int] = []

    def third(_svd: SVD, done: int) -> bool:
        epochs.append(done)
        return done == 3

    ended = SVD(random_state=5, after_epoch=third).fit(array_trainset(shuffled))
    assert epochs == [1, 2, 3]
    assert np.array_equal(ended.pu, SVD(random_state=5, n_epochs=3).fit(array_trainset(shuffled)).pu)
