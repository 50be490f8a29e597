"""The ranker: RLAE, a linear item-item model in closed form.

It is EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data", arXiv:1905.03375) with a
relaxed diagonal (Moon, Kim and Lee 2023, "It's enough: relaxing diagonal constraints in linear autoencoders
for recommendation", arXiv:2305.12922).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import coo_array, csr_array

from dataflix_training.film_features import Film, catalogue_ids, content_neighbours
from dataflix_training.ratings import Ratings

if TYPE_CHECKING:
    from dataflix_training.fitting import Recipe

_ROWS_AT_ONCE = 256
#: For at most so many people, the products of their ratings with the inverse are kept in memory: that is less
#: work than a product for each film.
_FEW_PEOPLE = 4096
#: How many similar films a film without ratings takes its weights from.
_NEIGHBOURS = 30
#: How many weights are kept of each film that the matrix does not cover: in its column and in its row, if few
#: have rated it; in its column, if nobody has.
_TAIL_ROW, _NEW_ROW = 20, 50

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
#: Entries of a matrix: rows, columns, values.
Entries = tuple[Ints, Ints, Floats]


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


def co_ratings(users: Ints, items: Ints, covered: NDArray[np.int64], n_items: int) -> NDArray[np.float32]:
    """How many people have rated both of two covered items: (m, m), the upper triangle.

    Args:
        users: rising; one row for each rating.
        items: as ``users``.
        covered: items that count, m of them.
        n_items: of all.
    """
    if not len(covered):
        return np.zeros((0, 0), np.float32)
    place = np.full(n_items, -1)
    place[covered] = np.arange(len(covered))
    kept = place[items] >= 0
    rows, columns = users[kept], place[items[kept]]
    # single precision holds whole numbers up to 16,777,216 exactly; the inverse needs double
    gram = np.zeros((len(covered), len(covered)), np.float32, order="F")
    starts = np.searchsorted(rows, np.arange(int(users.max(initial=-1)) + 2))
    _count_pairs(starts, columns, gram.T)
    return gram


@numba.njit(cache=True)
def _count_pairs(starts: Ints, columns: Ints, lower: NDArray[np.float32]) -> None:
    """Count each pair of items of one person: less work than a product of sparse rows made dense."""
    for person in range(len(starts) - 1):
        mine = np.sort(columns[starts[person] : starts[person + 1]])
        for row in range(len(mine)):
            counts = lower[mine[row]]
            for column in range(row + 1):
                counts[mine[column]] += 1


def inverse(gram: NDArray[np.float32], penalty: float) -> NDArray[np.float64]:
    """(X'X + penalty I)^-1, from which :func:`item_weights` makes the weights.

    Args:
        gram: X'X, its upper triangle; left as it is.
        penalty: a greater one gives smoother rankings, closer to popularity.
    """
    regularised = gram.astype(np.float64, order="F")
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
    """The weights B that best rebuild each column of X from all, with ``most_self`` at most on the diagonal.

    With P the inverse, B = I - P diag(max(penalty, (1 - most_self) / diag P)). Row i says which films i
    speaks for. The diagonal is then set to 0, since a film is no reason to recommend itself.

    Args:
        inverted: P, of :func:`inverse`; left as it is.
        penalty: P's.
        most_self: 0 gives EASE.
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
        chosen, values = _strongest_of_rows(block, length)
        items[first : first + len(block)], kept[first : first + len(block)] = covered[chosen], values
    return SparseRows(np.concatenate([[0], np.cumsum(lengths)]), items.ravel(), kept.ravel())


def _strongest_of_rows(block: NDArray[np.float32], count: int) -> tuple[Ints, NDArray[np.float32]]:
    """For each row, the places, rising, and the values of the ``count`` entries that are furthest from 0."""
    count = min(count, block.shape[1])
    chosen = np.argpartition(-np.abs(block), count - 1, axis=1)[:, :count]
    chosen.sort(axis=1)
    return chosen, np.take_along_axis(block, chosen, axis=1)


def _bounded(rows: Ints, items: Ints, weights: Floats, most: int) -> Entries:
    """The strongest entries of each row, so that no rated film makes a reply slow."""
    order = np.lexsort((-np.abs(weights), rows))
    first = np.searchsorted(rows[order], rows[order])
    kept = order[np.arange(len(order)) - first < most]
    return rows[kept], items[kept], weights[kept]


class RankerData:
    """Fits rankers on the same ratings: common ratings are counted once, and the last inverse is kept."""

    def __init__(
        self, ratings: Ratings, recipe: Recipe, films: Mapping[int, Film] = MappingProxyType({})
    ) -> None:
        """Count the common ratings.

        Args:
            ratings: to learn from.
            recipe: says which films the item-item matrix covers.
            films: the catalogue; those that nobody has rated have places too.
        """
        self.item_ids = catalogue_ids(ratings.movie_ids, films)
        self._films = films
        self._users = ratings.people()
        self._items = np.searchsorted(self.item_ids, ratings.movie_ids).astype(np.int32)
        self._covered = covered_items(
            self._items, len(self.item_ids), recipe.ranker_fewest, recipe.ranker_most
        )
        self._gram = co_ratings(self._users, self._items, self._covered, len(self.item_ids))
        self._inverse = np.zeros((0, 0))
        self._penalty: float | None = None

    def fit(self, recipe: Recipe) -> SparseRows:
        """Rows for all films in the order of rising ids; those that the matrix does not cover have none."""
        if not len(self._covered):
            return no_rows(len(self.item_ids))
        return strongest(self._weights(recipe), self._covered, len(self.item_ids), recipe.ranker_row)

    def fit_catalogue(self, recipe: Recipe) -> SparseRows:
        """As :meth:`fit`, and also weights for the films that the matrix does not cover, and their rows.

        Films that few have rated get what one more row and column would hold. Films without ratings get a
        column: the mean of those of the covered films that are most like them in genres and year.
        """
        head = self.fit(recipe)
        if not len(self._covered):
            return head
        beside = [*self._tail(recipe), *self._new(recipe)]
        if beside:
            rows, items, weights = map(np.concatenate, zip(*beside, strict=True))
            beside = [_bounded(rows, items, weights, recipe.ranker_row)]
        of_head = np.repeat(np.arange(len(self.item_ids)), np.diff(head.start))
        rows, items, weights = map(
            np.concatenate, zip((of_head, head.items, head.weights), *beside, strict=True)
        )
        shape = (len(self.item_ids), len(self.item_ids))
        matrix = coo_array((weights, (rows, items)), shape).tocsr()
        matrix.sort_indices()
        return SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)

    def _tail(self, recipe: Recipe) -> Iterator[Entries]:
        """Columns and rows of rated films that the matrix lacks, each as if it alone were added to it.

        Let g be the numbers of ratings that a film has in common with the covered ones, n the number of all
        its ratings, and w = P g. The inverse with the film added has p = 1 / (n + penalty - g w) in the
        corner and -p w beside it; :func:`item_weights` says what the weights are then.
        """
        penalty, free = recipe.ranker_penalty, 1 - recipe.ranker_self
        counts = np.bincount(self._items, minlength=len(self.item_ids))
        tail = np.setdiff1d(np.flatnonzero(counts), self._covered)
        theirs, ours = self._ratings_of(tail).T.tocsr(), self._ratings_of(self._covered)
        inverted, diagonal = self._inverse.astype(np.float32), np.diag(self._inverse)
        few = ours.shape[0] <= _FEW_PEOPLE
        by_people = ours @ inverted if few else inverted[:0]
        for first in range(0, len(tail), _ROWS_AT_ONCE):
            some = tail[first : first + _ROWS_AT_ONCE]
            common = (theirs[first : first + _ROWS_AT_ONCE] @ ours).toarray()
            solved = theirs[first : first + _ROWS_AT_ONCE] @ by_people if few else common @ inverted
            corner = 1 / (counts[some] + penalty - np.einsum("tm,tm->t", common, solved))
            columns = solved * np.maximum(penalty * corner, free)[:, np.newaxis]
            places, values = self._kept(some, columns, _TAIL_ROW)
            yield places[1], places[0], values
            beside = solved * corner[:, np.newaxis]
            rows = beside * np.maximum(penalty, free / (diagonal + beside * solved))
            places, values = self._kept(some, rows, _TAIL_ROW)
            yield *places, values

    def _new(self, recipe: Recipe) -> Iterator[Entries]:
        """Columns of films without ratings: the mean of those of the covered films most like them.

        A film without genres has none: nothing is known of it that would suit one person and not another.
        """
        new = np.setdiff1d(np.arange(len(self.item_ids)), self._items)
        new = new[[bool(self._films[movie_id][2]) for movie_id in self.item_ids[new].tolist()]]
        if not len(new):
            return
        columns = self._weights(recipe).T.astype(np.float32)
        for first in range(0, len(new), _ROWS_AT_ONCE):
            some = new[first : first + _ROWS_AT_ONCE]
            ids, among = self.item_ids[some], self.item_ids[self._covered]
            like = content_neighbours(ids, among, self._films, _NEIGHBOURS)
            places, values = self._kept(some, columns[like].mean(axis=1), _NEW_ROW)
            yield places[1], places[0], values

    def _kept(self, films: Ints, weights: Floats, count: int) -> tuple[tuple[Ints, Ints], Floats]:
        """The strongest of each film's weights, one row each: the places of film and covered film; values."""
        chosen, values = _strongest_of_rows(weights.astype(np.float32), count)
        return (np.repeat(films, chosen.shape[1]), self._covered[chosen.ravel()]), values.ravel()

    def _ratings_of(self, films: Ints) -> csr_array:
        """Who has rated which of these films: people by films, ones."""
        place = np.full(len(self.item_ids), -1)
        place[films] = np.arange(len(films))
        kept = place[self._items] >= 0
        ones = np.ones(int(kept.sum()), np.float32)
        shape = (int(self._users[-1]) + 1, len(films))
        return csr_array((ones, (self._users[kept], place[self._items[kept]])), shape)

    def _weights(self, recipe: Recipe) -> NDArray[np.float64]:
        if recipe.ranker_penalty != self._penalty:
            self._inverse = inverse(self._gram, recipe.ranker_penalty)
            self._penalty = recipe.ranker_penalty
        return item_weights(self._inverse, recipe.ranker_penalty, recipe.ranker_self)
