"""Made-up ratings with latent structure, in the shape of MovieLens 1M, for tests and benchmarks."""

from __future__ import annotations

import numpy as np

from dataflix_training.ratings import Ratings, in_order

_TASTES = 12
_DAY = 86_400_000_000


def synthetic_ratings(users: int = 6040, items: int = 3706, rows: int = 1_000_000, seed: int = 0) -> Ratings:
    """About ``rows`` ratings: few films have most of them, people rate what suits their taste, and better.

    Args:
        users: how many; ids from 1.
        items: how many; ids from 1.
        rows: at most; a film that somebody would rate twice counts once.
        seed: another one makes other ratings.
    """
    rng = np.random.default_rng(seed)
    likes = rng.normal(0, 1, (users, _TASTES)).astype(np.float32)
    traits = rng.normal(0, 1, (items, _TASTES)).astype(np.float32)
    popular = -0.9 * np.log(np.arange(1, items + 1))
    activity = rng.lognormal(0, 0.9, users)
    wanted = np.clip(rows * activity / activity.sum() * 1.03, 5, items // 2).astype(np.int64)
    columns = []
    for user in range(users):
        fit = traits @ likes[user] / np.sqrt(_TASTES)
        # the Gumbel trick: the highest of these are a sample without replacement by weight
        drawn = popular + 0.7 * fit + rng.gumbel(size=items)
        seen = np.argpartition(-drawn, wanted[user])[: wanted[user]]
        stars = 3.6 + 0.45 * fit[seen] + rng.normal(0, 0.8, len(seen)) + 0.3 * np.sin(seen)
        at = np.sort(rng.integers(0, 1000 * _DAY, len(seen)))
        columns.append((np.full(len(seen), user + 1), seen + 1, stars, at))
    user_ids, movie_ids, stars, at = (np.concatenate(column) for column in zip(*columns, strict=True))
    halves = np.clip(np.rint(2 * stars), 1, 10) / 2
    made = in_order(user_ids, movie_ids, halves, at, len(halves))
    return made if len(made) <= rows else made[np.sort(rng.choice(len(made), rows, replace=False))]
