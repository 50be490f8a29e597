"""Stars by variational Bayesian matrix factorisation, with a prior of each film from what is known about it.

Lim and Teh 2007, "Variational Bayesian approach to movie rating prediction", with the priors' variances
learnt as in Nakajima and Sugiyama 2011, "Theoretical analysis of Bayesian matrix factorization", and biases
as in Koren, Bell and Volinsky 2009. The films' prior means are a linear function of features, learnt by ridge
regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import surprise
from numpy.typing import NDArray
from surprise.utils import get_rng

from dataflix_training.svd import columns

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_START = 0.1
_BIAS_VARIANCE, _FACTOR_VARIANCE, _NOISE_SHARE = 0.25, 0.1, 0.7
#: What holds the weights of the features back, in ratings of one film each.
_FEATURE_PENALTY = 1.0


class VBMF(surprise.AlgoBase):  # type: ignore[misc]  # no types there
    """A person is x = (bias, factors), a film y = (bias, factors); both are normal, and so is the noise.

    A rating is mean + x[0] + y[0] + x[1:] . y[1:] + noise. Means, covariances, the priors and the noise are
    learnt in turn; there is nothing to tune.

    Args:
        features: by raw id of an item, equally long vectors; without them all items have one prior.
        n_factors: beside the bias.
        n_epochs: sweeps.
        random_state: of the factors that it begins with.
    """

    def __init__(
        self,
        features: Mapping[Any, Floats] | None = None,
        *,
        n_factors: int = 12,
        n_epochs: int = 20,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        self.features, self.n_factors, self.n_epochs = features, n_factors, n_epochs
        self.random_state = random_state
        self.noise = 0.0
        self.users: Floats = np.zeros((0, 0))
        self.items: Floats = np.zeros((0, 0))
        self.design: Floats = np.zeros((0, 0))
        self.loadings: Floats = np.zeros((0, 0))

    def fit(self, trainset: surprise.Trainset) -> VBMF:
        """Learn from a trainset.

        Afterwards ``users`` and ``items`` are means, ``user_covariances`` and ``item_covariances`` what is
        not known about them; ``user_variances``, ``loadings`` and ``item_variances`` the priors; ``noise`` is
        in stars squared.
        """
        super().fit(trainset)
        users, items, ratings = columns(trainset)
        self.mean = float(trainset.global_mean)
        self._begin(ratings - self.mean)
        by_user, by_item = (
            _Groups(users, items, ratings - self.mean),
            _Groups(items, users, ratings - self.mean),
        )
        nothing = np.zeros_like(self.users)
        for _ in range(self.n_epochs):
            prior = self.design @ self.loadings
            by_item.update(
                self.users,
                self.user_covariances,
                prior,
                self.item_variances,
                self.noise,
                self.items,
                self.item_covariances,
            )
            by_user.update(
                self.items,
                self.item_covariances,
                nothing,
                self.user_variances,
                self.noise,
                self.users,
                self.user_covariances,
            )
            self._learn_priors()
            squares = _expected_squares(
                users,
                items,
                ratings - self.mean,
                self.users,
                self.user_covariances,
                self.items,
                self.item_covariances,
            )
            self.noise = squares / len(ratings)
        return self

    def estimate(self, user: Any, item: Any) -> float:
        """Surprise's ``predict`` calls this; who or what is unknown counts as the prior's mean."""
        knows_user, knows_item = self.trainset.knows_user(user), self.trainset.knows_item(item)
        x = self.users[user] if knows_user else np.zeros(self.n_factors + 1)
        y = self.items[item] if knows_item else self.design.mean(axis=0) @ self.loadings
        return float(self.mean + x[0] + y[0] + x[1:] @ y[1:])

    def prior_of(self, features: NDArray[np.floating[Any]]) -> Floats:
        """The prior's means of items with these features, one row each."""
        return np.column_stack([np.ones(len(features)), features]) @ self.loadings

    def _begin(self, targets: Floats) -> None:
        size, n_users, n_items = self.n_factors + 1, self.trainset.n_users, self.trainset.n_items
        rng = get_rng(self.random_state)
        self.users, self.items = np.zeros((n_users, size)), np.zeros((n_items, size))
        self.users[:, 1:] = rng.normal(0, _START, (n_users, self.n_factors))
        self.items[:, 1:] = rng.normal(0, _START, (n_items, self.n_factors))
        self.user_covariances = np.zeros((n_users, size, size))
        self.item_covariances = np.zeros((n_items, size, size))
        self.user_variances = np.full(size, _FACTOR_VARIANCE)
        self.user_variances[0] = _BIAS_VARIANCE
        self.item_variances = self.user_variances.copy()
        self.noise = max(_NOISE_SHARE * float(np.var(targets)), 1e-6)
        self.design = np.ones((n_items, 1))
        if self.features is not None:
            known = [self.features[self.trainset.to_raw_iid(item)] for item in range(n_items)]
            self.design = np.asarray(np.column_stack([self.design, np.asarray(known)]), np.float64)
        self.loadings = np.zeros((self.design.shape[1], size))

    def _learn_priors(self) -> None:
        self.user_variances = np.mean(self.users**2 + _diagonals(self.user_covariances), axis=0)
        held_back = _FEATURE_PENALTY * np.eye(self.design.shape[1])
        loadings = np.linalg.solve(self.design.T @ self.design + held_back, self.design.T @ self.items)
        self.loadings = np.asarray(loadings, np.float64)
        off = self.items - self.design @ self.loadings
        self.item_variances = np.mean(off**2 + _diagonals(self.item_covariances), axis=0)


class _Groups:
    """Ratings by those who are updated: users or items."""

    def __init__(self, ones: Ints, others: Ints, targets: Floats) -> None:
        order = np.argsort(ones, kind="stable")
        self._starts = np.searchsorted(ones[order], np.arange(int(ones.max()) + 2))
        self._others, self._targets = others[order], targets[order]

    def update(  # noqa: PLR0913, PLR0917 - compiled code takes no objects
        self,
        theirs: Floats,
        their_covariances: Floats,
        prior: Floats,
        variances: Floats,
        noise: float,
        mine: Floats,
        my_covariances: Floats,
    ) -> None:
        """Set ``mine`` and ``my_covariances`` to the posterior, the others being as they are."""
        _update(
            self._starts,
            self._others,
            self._targets,
            theirs,
            their_covariances,
            prior,
            noise / variances,
            noise,
            mine,
            my_covariances,
        )


@numba.njit(cache=True)
def _update(  # noqa: PLR0912, PLR0913, PLR0917, C901 - compiled code takes no objects
    starts: Ints,
    others: Ints,
    targets: Floats,
    theirs: Floats,
    their_covariances: Floats,
    prior: Floats,
    ridge: Floats,
    noise: float,
    mine: Floats,
    my_covariances: Floats,
) -> None:
    """Each row's posterior, with a = (1, their factors).

    (ridge + sum E[a a']) x = ridge prior + sum E[(target - their bias) a].
    """
    size = theirs.shape[1]
    system, right = np.empty((size, size)), np.empty(size)
    lower, inverse = np.zeros((size, size)), np.zeros((size, size))
    for one in range(len(starts) - 1):
        system[:] = 0.0
        for j in range(size):
            system[j, j] = ridge[j]
            right[j] = ridge[j] * prior[one, j]
        for row in range(starts[one], starts[one + 1]):
            other = others[row]
            target = targets[row] - theirs[other, 0]
            system[0, 0] += 1.0
            right[0] += target
            for j in range(1, size):
                system[j, 0] += theirs[other, j]
                right[j] += target * theirs[other, j] - their_covariances[other, 0, j]
                for k in range(1, j + 1):
                    system[j, k] += theirs[other, j] * theirs[other, k] + their_covariances[other, j, k]
        for j in range(size):  # Cholesky, then the inverse of the triangle
            for k in range(j + 1):
                rest = system[j, k]
                for f in range(k):
                    rest -= lower[j, f] * lower[k, f]
                lower[j, k] = np.sqrt(rest) if j == k else rest / lower[k, k]
            inverse[j, j] = 1.0 / lower[j, j]
            for k in range(j):
                rest = 0.0
                for f in range(k, j):
                    rest -= lower[j, f] * inverse[f, k]
                inverse[j, k] = rest / lower[j, j]
        for j in range(size):
            for k in range(j + 1):
                product = 0.0
                for f in range(j, size):
                    product += inverse[f, j] * inverse[f, k]
                my_covariances[one, j, k] = my_covariances[one, k, j] = noise * product
        for j in range(size):
            total = 0.0
            for k in range(size):
                total += my_covariances[one, j, k] * right[k]
            mine[one, j] = total / noise


@numba.njit(cache=True)
def _expected_squares(  # noqa: PLR0913, PLR0917 - compiled code takes no objects
    users: Ints,
    items: Ints,
    targets: Floats,
    x: Floats,
    x_covariances: Floats,
    y: Floats,
    y_covariances: Floats,
) -> float:
    """The sum over ratings of the squared distance that is expected from what is known about both sides."""
    size = x.shape[1]
    total = 0.0
    for row in range(len(targets)):
        u, i = users[row], items[row]
        off = targets[row] - x[u, 0] - y[i, 0]
        spread = x_covariances[u, 0, 0] + y_covariances[i, 0, 0]
        for j in range(1, size):
            off -= x[u, j] * y[i, j]
            spread += 2 * (x_covariances[u, 0, j] * y[i, j] + y_covariances[i, 0, j] * x[u, j])
            for k in range(1, size):
                spread += x_covariances[u, j, k] * (y[i, j] * y[i, k] + y_covariances[i, j, k])
                spread += y_covariances[i, j, k] * x[u, j] * x[u, k]
        total += off * off + spread
    return total


def _diagonals(covariances: Floats) -> Floats:
    return np.asarray(np.diagonal(covariances, axis1=1, axis2=2))
