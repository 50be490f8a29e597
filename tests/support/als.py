"""ALS in NumPy, slow and simple: what Spark's is compared with, and what tests without Java factorise with.

And ratings in which there are factors to be found, though they are few.
"""

import numpy as np
from numpy.typing import NDArray

from dataflix_training.als import AlsSettings, Floats, Residuals
from dataflix_training.ratings import Ratings, in_order


def ratings_by_taste() -> Ratings:
    """200 people have rated 40 of 100 films each, by biases and three tastes, with little chance."""
    rng = np.random.default_rng(0)
    likes, traits = rng.normal(0, 1, (200, 3)), rng.normal(0, 0.6, (100, 3))
    stars = 3.2 + rng.normal(0, 0.3, (200, 1)) + rng.normal(0, 0.4, 100) + likes @ traits.T
    stars += rng.normal(0, 0.3, stars.shape)
    users, films = np.repeat(np.arange(200), 40), rng.permuted(np.tile(np.arange(100), (200, 1)), axis=1)
    films = films[:, :40].ravel()
    halves = np.clip(np.rint(2 * stars[users, films]), 1, 10) / 2
    return in_order(users + 1, films + 1, halves, rng.integers(0, 10**12, len(users)), 1)


def factorise(left: Residuals, settings: AlsSettings) -> tuple[Floats, Floats]:
    """Zhou et al. 2008, as Spark has it: the penalty counts as often as the person or film has ratings."""
    rng = np.random.default_rng(settings.seed)
    of_items: Floats = rng.normal(0, 1, (len(left.item_ids), settings.rank))
    of_items /= np.linalg.norm(of_items, axis=1, keepdims=True)
    for _ in range(settings.iterations):
        of_users = _solve(left.users, left.items, left.stars, of_items, len(left.user_ids), settings.penalty)
        of_items = _solve(left.items, left.users, left.stars, of_users, len(left.item_ids), settings.penalty)
    return of_users, of_items


def _solve(  # noqa: PLR0913, PLR0917
    ones: NDArray[np.int32],
    others: NDArray[np.int32],
    stars: NDArray[np.float32],
    factors: Floats,
    size: int,
    penalty: float,
) -> Floats:
    solved = np.zeros((size, factors.shape[1]))
    for one in range(size):
        mine = ones == one
        theirs = factors[others[mine]]
        ridge = penalty * len(theirs) * np.eye(factors.shape[1])
        solved[one] = np.linalg.solve(theirs.T @ theirs + ridge, theirs.T @ stars[mine])
    return solved
