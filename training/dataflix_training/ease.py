"""The ranker: RLAE, a linear item-item model in closed form.

It is EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data", arXiv:1905.03375) with a
relaxed diagonal (Moon, Kim and Lee 2023, "It's enough: relaxing diagonal constraints in linear autoencoders
for recommendation", arXiv:2305.12922).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

_USERS_AT_ONCE, _ROWS_AT_ONCE = 4096, 256

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class SparseRows:
    """An item-item matrix; row i is ``items`` and ``weights`` from ``start[i]`` to ``start[i + 1]``."""

    start: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]


def no_rows(n_items: int) -> SparseRows:
    """Rows without weights."""
    return SparseRows(np.zeros(n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


def covered_items(items: Ints, n_items: int, fewest: int, most: int) -> NDArray[np.int64]:
    """The items that the ranker learns: rated often enough, and of these the most rated.

    The cap bounds the cost, which is cubic in it; ties go to the smaller number.
    """
    counts = np.bincount(items, minlength=n_items)
    by_count = np.argsort(-counts, kind="stable")[:most]
    return np.sort(by_count[counts[by_count] >= fewest])


def co_ratings(users: Ints, items: Ints, covered: NDArray[np.int64], n_items: int) -> NDArray[np.float64]:
    """How many people have rated both of two covered items: (m, m), the upper triangle.

    Args:
        users: rising; one row for each rating.
        items: as ``users``.
        covered: items that count, m of them.
        n_items: of all.
    """
    if not len(covered):
        return np.zeros((0, 0))
    place = np.full(n_items, -1)
    place[covered] = np.arange(len(covered))
    kept = place[items] >= 0
    rows, columns = users[kept], place[items[kept]]
    # single precision holds whole numbers up to 16,777,216 exactly
    gram = np.zeros((len(covered), len(covered)), np.float32, order="F")
    last = int(users.max(initial=-1)) + 1
    for first in range(0, last, _USERS_AT_ONCE):
        start, end = np.searchsorted(rows, (first, first + _USERS_AT_ONCE))
        block = np.zeros((min(_USERS_AT_ONCE, last - first), len(covered)), np.float32, order="F")
        block[rows[start:end] - first, columns[start:end]] = 1
        gram = blas.ssyrk(1, block, beta=1, c=gram, trans=1, overwrite_c=1)
    return np.asarray(gram, np.float64, order="F")


def inverse(gram: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """(X'X + penalty I)^-1, of which :func:`item_weights` are made.

    Args:
        gram: X'X, its upper triangle; left as it is.
        penalty: greater: smoother, closer to popularity.
    """
    regularised = gram.copy(order="F")
    regularised[np.diag_indices_from(regularised)] += penalty
    factor, failed = lapack.dpotrf(regularised, overwrite_a=1)
    found, failed_too = lapack.dpotri(factor, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError("the matrix of common ratings is not positive definite")
    _mirror(found)
    return np.asarray(found)


def _mirror(upper: NDArray[np.float64]) -> None:
    """Copy the upper triangle of a square matrix to the lower one, block by block: no second matrix."""
    for first in range(0, len(upper), _ROWS_AT_ONCE):
        last = first + _ROWS_AT_ONCE
        block = np.triu(upper[first:last, first:last])
        upper[first:last, first:last] = block + np.triu(block, 1).T
        upper[last:, first:last] = upper[first:last, last:].T


def item_weights(
    inverted: NDArray[np.float64], penalty: float, most_self: float = 0.0
) -> NDArray[np.float64]:
    """The weights B that best rebuild each column of X from all, B's diagonal being ``most_self`` at most.

    With P the inverse, B = I - P diag(max(penalty, (1 - most_self) / diag P)). Row i says what i speaks for;
    the diagonal is then left out, since nobody is recommended a film for that film's sake.

    Args:
        inverted: P, of :func:`inverse`; left as it is.
        penalty: P's.
        most_self: 0: EASE.
    """
    weights = inverted * -np.maximum(penalty, (1 - most_self) / np.diag(inverted))
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


def strongest(
    weights: NDArray[np.float64], covered: NDArray[np.int64], n_items: int, row_length: int
) -> SparseRows:
    """Keep the ``row_length`` strongest weights of every row, for and against; rows for all items."""
    length = min(row_length, max(len(covered) - 1, 0))
    lengths = np.zeros(n_items, np.int64)
    lengths[covered] = length
    items, kept = np.empty((len(covered), length), np.int32), np.empty((len(covered), length), np.float32)
    for first in range(0, len(covered), _ROWS_AT_ONCE):
        block = weights[first : first + _ROWS_AT_ONCE].astype(np.float32)
        chosen = np.argpartition(-np.abs(block), length - 1, axis=1)[:, :length]
        chosen.sort(axis=1)
        items[first : first + len(block)] = covered[chosen]
        kept[first : first + len(block)] = np.take_along_axis(block, chosen, axis=1)
    return SparseRows(np.concatenate([[0], np.cumsum(lengths)]), items.ravel(), kept.ravel())
