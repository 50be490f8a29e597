"""Read which films a user has watched, rated and dismissed, in one statement, so that all fits together.

Each reply reads them anew from PostgreSQL, so that a rating counts at once, without a new model. The
same statement also checks whether the films that the reply will probably show still exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

from dataflix_backend.recommendations.catalogue import GONE

#: It gives arrays in PostgreSQL's binary form, which NumPy reads without a Python object for each film.
_FILMS = f"""
SELECT array_send(ARRAY(SELECT movie_id::int8 FROM watched_movies w WHERE w.user_id = u.user_id
                        ORDER BY movie_id)),
       array_send(ARRAY(SELECT movie_id::int8 FROM ratings WHERE user_id = u.user_id ORDER BY movie_id)),
       array_send(ARRAY(SELECT (2 * rating)::int2 FROM ratings WHERE user_id = u.user_id ORDER BY movie_id)),
       array_send(ARRAY(SELECT movie_id::int8 FROM dismissed_movies d WHERE d.user_id = u.user_id
                        ORDER BY movie_id)),
       array_send(ARRAY({GONE}))
FROM users u
WHERE u.user_id = %(user)s
"""
#: Bytes before the first element: dimensions, flags and type, then length and lower bound; an empty array
#: lacks the last two.
_HEADER, _EMPTY_HEADER = 20, 12
#: The form of an element: its length in bytes, then its value, the highest byte first.
BIGINTS = np.dtype([("bytes", ">i4"), ("value", ">i8")])
SMALLINTS = np.dtype([("bytes", ">i4"), ("value", ">i2")])


@dataclass(frozen=True, slots=True)
class UserFilms:
    """A user's films.

    Attributes:
        user_id: the user.
        watched: ids of watched films, rising.
        rated: ids of rated films, rising.
        stars: the ratings of these.
        dismissed: ids of dismissed films, rising.
        state: bytes that differ whenever films or ratings do.
    """

    user_id: int
    watched: NDArray[np.int64]
    rated: NDArray[np.int64]
    stars: NDArray[np.float64]
    dismissed: NDArray[np.int64]
    state: bytes


def read_user_films(
    connection: Connection[TupleRow], user_id: int, shown: Sequence[int] = ()
) -> tuple[UserFilms, set[int]] | None:
    """Read a user's films, and which of ``shown`` have been deleted; None: there is no such user.

    Args:
        connection: to PostgreSQL.
        user_id: the user.
        shown: films that the reply will probably name.
    """
    parameters = {"user": user_id, "shown": list(shown)}
    row = connection.execute(_FILMS, parameters, prepare=True, binary=True).fetchone()
    if row is None:
        return None
    watched, rated, halves, dismissed, gone = row
    user = UserFilms(
        user_id,
        numbers(watched, BIGINTS),
        numbers(rated, BIGINTS),
        numbers(halves, SMALLINTS) / 2.0,
        numbers(dismissed, BIGINTS),
        b"".join((watched, rated, halves, dismissed)),
    )
    return user, set(numbers(gone, BIGINTS).tolist())


def numbers(sent: bytes, element: np.dtype[Any]) -> NDArray[Any]:
    """The elements of an array in PostgreSQL's binary form, which must hold no NULL.

    Args:
        sent: the result of ``array_send``.
        element: :data:`BIGINTS` or :data:`SMALLINTS`.
    """
    if len(sent) <= _EMPTY_HEADER:
        return np.empty(0, np.int64)
    return np.frombuffer(sent, element, offset=_HEADER)["value"].astype(np.int64)
