"""Films by how many people liked them and how well, for who has rated nothing."""

from __future__ import annotations

import numpy as np

from dataflix_recommender.model import FloatArray, IntArray

#: Averages that differ by less, in stars, differ by rounding only.
_LEAST_SPREAD = 1e-9


def damped_means(counts: IntArray, sums: FloatArray, mean: float, prior: float) -> FloatArray:
    """Each film's Bayesian average: its mean with ``prior`` ratings at the global mean added."""
    return np.asarray((sums + prior * mean) / (counts + prior))


def popularity(counts: IntArray, sums: FloatArray, mean: float) -> FloatArray:
    """Bayesian averages scaled to 0..1, the prior weighing as much as the most rated film's ratings.

    So strong a prior orders by how many people liked a film as much as by how well. Where all ratings are
    equal, only the number of ratings tells films apart.

    Args:
        counts: how many ratings each film has.
        sums: their stars.
        mean: of all ratings.
    """
    prior = float(counts.max(initial=0))
    if not prior:
        return np.zeros(len(counts))
    averages = damped_means(counts, sums, mean, prior)
    spread = np.ptp(averages)
    if spread < _LEAST_SPREAD:
        return np.asarray(counts / prior)
    return np.asarray((averages - averages.min()) / spread)
