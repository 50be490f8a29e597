"""Predict stars by variational Bayesian matrix factorisation, with a prior for each film from its features.

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
#: How strongly the weights of the features are regularised; 1 counts as much as one film.
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

        Afterwards ``users`` and ``items`` are means, ``user_unknown`` and ``item_unknown`` their variances.
        ``user_variances``, ``loadings`` and ``item_variances`` describe the priors; ``noise`` is in stars
        squared.
        """
        super().fit(trainset)
        users, items, ratings = columns(trainset)
        self.mean = float(trainset.global_mean)
        targets = ratings - self.mean
        self._begin(targets)
        by_user, by_item = _Groups(users, items, targets), _Groups(items, users, targets)
        nothing = np.zeros_like(self.users)
        user_moments, item_moments = _certain_moments(self.users), _certain_moments(self.items)
        for _ in range(self.n_epochs):
            prior = self.design @ self.loadings
            item_ridge = self.noise / self.item_variances
            own = (self.items, self.item_unknown, item_moments)
            by_item.update(user_moments, prior, item_ridge, self.noise, *own)
            user_ridge = self.noise / self.user_variances
            own = (self.users, self.user_unknown, user_moments)
            squares = by_user.update(item_moments, nothing, user_ridge, self.noise, *own)
            self._learn_priors()
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
        self.user_unknown, self.item_unknown = np.zeros_like(self.users), np.zeros_like(self.items)
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
        self.user_variances = np.mean(self.users**2 + self.user_unknown, axis=0)
        held_back = _FEATURE_PENALTY * np.eye(self.design.shape[1])
        loadings = np.linalg.solve(self.design.T @ self.design + held_back, self.design.T @ self.items)
        self.loadings = np.asarray(loadings, np.float64)
        off = self.items - self.design @ self.loadings
        self.item_variances = np.mean(off**2 + self.item_unknown, axis=0)


class _Groups:
    """Ratings grouped by the side that is updated: users or items."""

    def __init__(self, ones: Ints, others: Ints, targets: Floats) -> None:
        order = np.argsort(ones, kind="stable")
        self._starts = np.searchsorted(ones[order], np.arange(int(ones.max()) + 2))
        self._others, self._targets = others[order], targets[order]

    def update(  # noqa: PLR0913, PLR0917 - compiled code takes no objects
        self,
        theirs: Floats,
        prior: Floats,
        ridge: Floats,
        noise: float,
        mine: Floats,
        unknown: Floats,
        moments: Floats,
    ) -> float:
        """Set the last three arguments to the posterior, given the other side; see :func:`_update`."""
        groups = (self._starts, self._others, self._targets)
        return float(_update(*groups, theirs, prior, ridge, noise, mine, unknown, moments))


def _certain_moments(means: Floats) -> Floats:
    """The moments that :func:`_update` takes, for means without any uncertainty."""
    size = means.shape[1]
    moments = np.empty((len(means), size * (size + 1) // 2 + size + 1))
    for place, mean in enumerate(means):
        _write_moments(mean, np.zeros((size, size)), moments[place])
    return moments


@numba.njit(cache=True)
def _write_moments(mean: Floats, covariance: Floats, moments: Floats) -> None:
    """Write the moments of one person or film; the other side's posterior needs only their sums.

    With the bias b and a = (1, factors): the lower triangle of E[a a'], column by column, so that it begins
    with E[a]; then E[b a]; then E[b b].
    """
    size = len(mean)
    place = size
    moments[0] = 1.0
    for j in range(1, size):
        moments[j] = mean[j]
    for k in range(1, size):
        for j in range(k, size):
            moments[place] = mean[j] * mean[k] + covariance[j, k]
            place += 1
    moments[place] = mean[0]
    for j in range(1, size):
        moments[place + j] = mean[0] * mean[j] + covariance[j, 0]
    moments[place + size] = mean[0] * mean[0] + covariance[0, 0]


@numba.njit(cache=True)
def _update(  # noqa: PLR0912, PLR0913, PLR0917, C901 - compiled code takes no objects
    starts: Ints,
    others: Ints,
    targets: Floats,
    theirs: Floats,
    prior: Floats,
    ridge: Floats,
    noise: float,
    mine: Floats,
    unknown: Floats,
    moments: Floats,
) -> float:
    """Set each row's posterior; return the sum over ratings of the squared errors to expect after it.

    With a = (1, their factors): (ridge + sum E[a a']) x = ridge prior + sum E[(target - their bias) a].

    Args:
        starts: the ratings of row i are those from ``starts[i]`` to ``starts[i + 1]``.
        others: for each rating, the row of the other side.
        targets: ratings less the mean.
        theirs: moments of the others, as :func:`_write_moments` has them.
        prior: the prior's means.
        ridge: noise over the prior's variances.
        noise: variance.
        mine: set to the means.
        unknown: set to the variances.
        moments: set to these.
    """
    size, width = mine.shape[1], theirs.shape[1]
    biases = width - size - 1
    sums, weighted, right = np.empty(width), np.empty(size), np.empty(size)
    system, covariance = np.empty((size, size)), np.empty((size, size))
    lower, inverse = np.zeros((size, size)), np.zeros((size, size))
    total = 0.0
    for one in range(len(starts) - 1):
        sums[:] = 0.0
        weighted[:] = 0.0
        for row in range(starts[one], starts[one + 1]):
            their, target = theirs[others[row]], targets[row]
            for k in range(width):
                sums[k] += their[k]
            for k in range(size):
                weighted[k] += target * their[k]
            total += target * target - 2 * target * their[biases]
        total += sums[width - 1]
        place = 0
        for k in range(size):
            right[k] = ridge[k] * prior[one, k] + weighted[k] - sums[biases + k]
            for j in range(k, size):
                system[j, k] = sums[place]
                place += 1
            system[k, k] += ridge[k]
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
                covariance[j, k] = covariance[k, j] = noise * product
        for j in range(size):
            product = 0.0
            for k in range(size):
                product += covariance[j, k] * right[k]
            mine[one, j] = product / noise
            unknown[one, j] = covariance[j, j]
        _write_moments(mine[one], covariance, moments[one])
        place = 0
        for k in range(size):
            total -= 2 * mine[one, k] * (weighted[k] - sums[biases + k])
            for j in range(k, size):
                both = mine[one, j] * mine[one, k] + covariance[j, k]
                total += sums[place] * (both if j == k else 2 * both)
                place += 1
    return total
