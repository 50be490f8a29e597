"""What someone has watched and rated, as PostgreSQL has it now: one statement, one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

#: Arrays in PostgreSQL's binary form: NumPy reads them, and nothing is made for each film in Python.
_FILMS = """
SELECT array_send(ARRAY(SELECT movie_id FROM watched_movies WHERE user_id = u.user_id ORDER BY movie_id)),
       array_send(ARRAY(SELECT movie_id FROM ratings WHERE user_id = u.user_id ORDER BY movie_id)),
       array_send(ARRAY(SELECT (2 * rating)::int2 FROM ratings WHERE user_id = u.user_id ORDER BY movie_id))
FROM users u
WHERE u.user_id = %s
"""
#: Bytes before the first element: dimensions, flags, type; then length and lower bound, unless empty.
_HEADER, _EMPTY_HEADER = 20, 12
#: An element: its length in bytes, then its value, the highest byte first.
BIGINTS = np.dtype([("bytes", ">i4"), ("value", ">i8")])
SMALLINTS = np.dtype([("bytes", ">i4"), ("value", ">i2")])


@dataclass(frozen=True, slots=True)
class Person:
    """Someone's films.

    Attributes:
        user_id: who.
        watched: ids, rising.
        rated: ids, rising.
        stars: of those rated.
        state: equal for equal films and ratings.
    """

    user_id: int
    watched: NDArray[np.int64]
    rated: NDArray[np.int64]
    stars: NDArray[np.float64]
    state: bytes


def read_person(connection: Connection[TupleRow], user_id: int) -> Person | None:
    """Someone's films; None: there is no such user."""
    row = connection.execute(_FILMS, [user_id], prepare=True, binary=True).fetchone()
    return None if row is None else _person(user_id, *row)


def _person(user_id: int, watched: bytes, rated: bytes, halves: bytes) -> Person:
    return Person(
        user_id,
        numbers(watched, BIGINTS),
        numbers(rated, BIGINTS),
        numbers(halves, SMALLINTS) / 2.0,
        b"".join((watched, rated, halves)),
    )


def numbers(sent: bytes, element: np.dtype[Any]) -> NDArray[Any]:
    """The elements of an array without NULLs, in PostgreSQL's binary form.

    Args:
        sent: what ``array_send`` gave.
        element: :data:`BIGINTS` or :data:`SMALLINTS`.
    """
    if len(sent) <= _EMPTY_HEADER:
        return np.empty(0, np.int64)
    return np.frombuffer(sent, element, offset=_HEADER)["value"].astype(np.int64)
