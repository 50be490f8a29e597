"""A model small enough to work out by hand."""

from dataclasses import replace

import numpy as np

from dataflix_recommender import Model


def small_model() -> Model:
    """Films 10, 20, 30, 40; users 1 (a 5 for 10, a 3 for 20) and 2 (a 2 for 30).

    10 and 20 speak for 30, 10 speaks against 40, 30 speaks for 10. Film 40 is the most popular.
    """
    return Model(
        user_ids=np.asarray([1, 2], np.int64),
        item_ids=np.asarray([10, 20, 30, 40], np.int64),
        user_bias=np.asarray([0.25, -0.5], np.float32),
        item_bias=np.asarray([0.5, 0.0, -0.5, 0.25], np.float32),
        user_factors=np.asarray([[1, 0], [0, 1]], np.float32),
        item_factors=np.asarray([[0.5, 0], [0, 0.5], [1, 1], [-1, 0]], np.float32),
        ridge=np.asarray([2.0, 4.0, 4.0]),
        history_start=np.asarray([0, 2, 3], np.int64),
        history_items=np.asarray([0, 1, 2], np.int32),
        history_halves=np.asarray([10, 6, 4], np.uint8),
        ranker_start=np.asarray([0, 3, 4, 6, 6], np.int64),
        ranker_items=np.asarray([1, 2, 3, 2, 0, 1], np.int32),
        ranker_weights=np.asarray([0.1, 0.4, -0.2, 0.3, 0.4, 0.05], np.float32),
        popularity=np.asarray([0.5, 0.25, 0.0, 1.0], np.float32),
        rating_counts=np.asarray([1, 1, 1, 1], np.int32),
        global_mean=3.5,
        rating_min=0.5,
        rating_max=5.0,
        max_version=100,
    )


def uncertain_model() -> Model:
    """The small model, with what is not known about its films, and with a film 50 that nobody has rated."""
    small = small_model()
    return replace(
        small,
        item_ids=np.asarray([10, 20, 30, 40, 50], np.int64),
        item_bias=np.asarray([*small.item_bias, 0.25], np.float32),
        item_factors=np.asarray([*small.item_factors, [0.5, 0.5]], np.float32),
        ranker_start=np.asarray([0, 4, 5, 7, 7, 7], np.int64),
        ranker_items=np.asarray([1, 2, 3, 4, 2, 0, 1], np.int32),
        ranker_weights=np.asarray([0.1, 0.4, -0.2, 0.02, 0.3, 0.4, 0.05], np.float32),
        popularity=np.asarray([*small.popularity, 0.0], np.float32),
        rating_counts=np.asarray([1, 1, 1, 1, 0], np.int32),
        item_variance=np.asarray([0.1, 0.2, 0.4, 0.8, 1.0], np.float32),
        noise=0.5,
        calibration=1.1,
    )
