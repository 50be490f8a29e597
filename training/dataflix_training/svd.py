"""Surprise's ``SVD`` with a compiled fit: same parameters, same numbers, a fraction of the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from types import FunctionType
from typing import Any, cast

import numba
import numpy as np
import surprise
from numpy.typing import NDArray
from surprise.utils import get_rng

from dataflix_contract.schema import LEAST_STARS, MOST_STARS

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Groups = defaultdict[int, list[tuple[int, float]]]
AfterEpoch = Callable[["SVD", int], bool]


class ArrayTrainset(surprise.Trainset):  # type: ignore[misc]  # no types there
    """A Surprise ``Trainset`` made from columns in a moment, where Surprise's own takes seconds.

    Inner ids and the order of the ratings are those that ``Dataset.build_full_trainset`` gives. The
    dictionaries that only Surprise's other algorithms look into are made when asked for.
    """

    def __init__(
        self,
        users: Ints,
        items: Ints,
        ratings: NDArray[np.floating[Any]],
        rating_scale: tuple[float, float] = (LEAST_STARS, MOST_STARS),
    ) -> None:
        """From the raw ids and ratings, row by row.

        Args:
            users: raw ids of users.
            items: raw ids of items.
            ratings: in the rating scale.
            rating_scale: lowest and highest possible rating.
        """
        self.raw_users, inner_users = _by_appearance(users)
        self.raw_items, inner_items = _by_appearance(items)
        # the order of Surprise's all_ratings
        by_user = (
            None if np.all(inner_users[1:] >= inner_users[:-1]) else np.argsort(inner_users, kind="stable")
        )
        self.inner_users, self.inner_items, self.ratings = (
            inner_users,
            inner_items,
            ratings.astype(np.float64),
        )
        if by_user is not None:
            self.inner_users, self.inner_items = inner_users[by_user], inner_items[by_user]
            self.ratings = self.ratings[by_user]
        super().__init__(
            None,
            None,
            len(self.raw_users),
            len(self.raw_items),
            len(ratings),
            rating_scale,
            dict(zip(self.raw_users.tolist(), range(len(self.raw_users)), strict=True)),
            dict(zip(self.raw_items.tolist(), range(len(self.raw_items)), strict=True)),
        )
        del self.ur, self.ir  # set by Surprise, made here when asked for
        self._global_mean = np.mean(self.ratings)
        self._input_order = by_user

    @cached_property
    def ur(self) -> Groups:
        """Each user's (item, rating), in inner ids."""
        return _grouped(self.inner_users, self.inner_items, self.ratings)

    @cached_property
    def ir(self) -> Groups:
        """Each item's (user, rating), in inner ids."""
        rows = slice(None) if self._input_order is None else np.argsort(self._input_order, kind="stable")
        return _grouped(self.inner_items[rows], self.inner_users[rows], self.ratings[rows])

    def knows_user(self, uid: object) -> bool:
        """Whether it is the inner id of a user."""
        return isinstance(uid, int | np.integer) and 0 <= uid < self.n_users

    def knows_item(self, iid: object) -> bool:
        """Whether it is the inner id of an item."""
        return isinstance(iid, int | np.integer) and 0 <= iid < self.n_items

    def all_ratings(self) -> Iterator[tuple[int, int, float]]:
        """Every (user, item, rating), in inner ids, user by user."""
        return zip(self.inner_users.tolist(), self.inner_items.tolist(), self.ratings.tolist(), strict=True)


class SVD(surprise.SVD):  # type: ignore[misc]  # no types there
    """``surprise.SVD`` whose stochastic gradient descent is compiled by Numba.

    Takes what ``surprise.SVD`` takes. With the same ``random_state``, ``bu``, ``bi``, ``pu`` and ``qi`` are
    equal to Surprise's bit by bit, whatever the number of threads: neither fit uses more than one.

    Args:
        fast: let the compiler reorder sums (SIMD): about twice as fast, equal but for rounding (1e-9).
        after_epoch: called with this object and the number of epochs done; True ends the fit there. ``bu``,
            ``bi``, ``pu`` and ``qi`` are the live arrays: copy what is to be kept.
        options: Surprise's.
    """

    def __init__(self, *, fast: bool = False, after_epoch: AfterEpoch | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.fast = fast
        self.after_epoch = after_epoch

    def sgd(self, trainset: surprise.Trainset) -> None:
        """Learn from a trainset; Surprise's ``fit`` calls this."""
        users, items, ratings = columns(trainset)
        rng = get_rng(self.random_state)
        self.bu, self.bi = np.zeros(trainset.n_users), np.zeros(trainset.n_items)
        # users before items, as in Surprise: the order of the draws is part of the result
        self.pu = rng.normal(self.init_mean, self.init_std_dev, (trainset.n_users, self.n_factors))
        self.qi = rng.normal(self.init_mean, self.init_std_dev, (trainset.n_items, self.n_factors))
        mean = float(trainset.global_mean) if self.biased else 0.0
        rates = (float(self.lr_bu), float(self.lr_bi), float(self.lr_pu), float(self.lr_qi))
        penalties = (float(self.reg_bu), float(self.reg_bi), float(self.reg_pu), float(self.reg_qi))
        epoch = _fast_epoch if self.fast else _exact_epoch
        parameters = (self.bu, self.bi, self.pu, self.qi)
        for done in range(1, self.n_epochs + 1):
            epoch(users, items, ratings, mean, *parameters, rates, penalties, bool(self.biased))
            if self.after_epoch and self.after_epoch(self, done):
                break


def _epoch(  # noqa: PLR0913, PLR0917 - compiled code takes no objects
    users: Ints,
    items: Ints,
    ratings: Floats,
    mean: float,
    bu: Floats,
    bi: Floats,
    pu: Floats,
    qi: Floats,
    rates: tuple[float, float, float, float],
    penalties: tuple[float, float, float, float],
    biased: bool,
) -> None:
    """One pass over the ratings: the loop of Surprise's ``SVD.sgd``, operation by operation.

    The factors of a user stay in a small array for all ratings of that user: the compiler then knows that
    they do not overlap with those of the items, and works on several at once.
    """
    lr_bu, lr_bi, lr_pu, lr_qi = rates
    reg_bu, reg_bi, reg_pu, reg_qi = penalties
    factors = pu.shape[1]
    mine = np.empty(factors)
    user = -1
    for row in range(len(ratings)):
        u, i = users[row], items[row]
        if u != user:
            if user >= 0:
                pu[user] = mine
            mine[:] = pu[u]
            user = u
        theirs = qi[i]
        dot = 0.0
        for f in range(factors):
            dot += theirs[f] * mine[f]
        err = ratings[row] - (mean + bu[u] + bi[i] + dot)
        if biased:
            bu[u] += lr_bu * (err - reg_bu * bu[u])
            bi[i] += lr_bi * (err - reg_bi * bi[i])
        for f in range(factors):
            puf, qif = mine[f], theirs[f]
            mine[f] += lr_pu * (err * qif - reg_pu * puf)
            theirs[f] += lr_qi * (err * puf - reg_qi * qif)
    if user >= 0:
        pu[user] = mine


def _renamed_function(function: Callable[..., None], name: str) -> Callable[..., None]:
    """The same function under another name: Numba's cache knows functions by name, not by options."""
    twin = FunctionType(cast("FunctionType", function).__code__, globals(), name)
    twin.__qualname__ = name
    return twin


_exact_epoch = numba.njit(cache=True)(_epoch)
_fast_epoch = numba.njit(cache=True, fastmath=True)(_renamed_function(_epoch, "_fast_epoch"))


def columns(trainset: surprise.Trainset) -> tuple[Ints, Ints, Floats]:
    """Inner ids of users and items, and the ratings, user by user."""
    if isinstance(trainset, ArrayTrainset):
        return trainset.inner_users, trainset.inner_items, trainset.ratings
    row = np.dtype([("user", np.int32), ("item", np.int32), ("rating", np.float64)])
    rows = np.fromiter(trainset.all_ratings(), row, trainset.n_ratings)
    return (
        np.ascontiguousarray(rows["user"]),
        np.ascontiguousarray(rows["item"]),
        np.ascontiguousarray(rows["rating"]),
    )


def _by_appearance(raw: Ints) -> tuple[Ints, Ints]:
    """The distinct ids in the order in which they first appear, and each row's place among them."""
    ids, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    return ids[order], rank[inverse].astype(np.int32)


def _grouped(keys: Ints, others: Ints, ratings: Floats) -> Groups:
    groups: Groups = defaultdict(list)
    for key, other, rating in zip(keys.tolist(), others.tolist(), ratings.tolist(), strict=True):
        groups[key].append((other, rating))
    return groups
