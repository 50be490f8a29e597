"""Keep PostgreSQL's films in memory, and compute which are popular, for the time before the first model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.rows import TupleRow

from dataflix_recommender import popularity

#: A digest of all films' contents, in any order. Unlike a counter that a trigger keeps, it shows every
#: committed change, and no writer waits for another.
_VERSION = """
SELECT coalesce(bit_xor(hashtextextended(title, hashint8extended(movie_id,
    hash_array_extended(genres, coalesce(release_year, -1)::bigint)))), 0) AS version
FROM movies
"""
#: Version and films come from one statement, so that they belong together.
_FILMS = f"""
SELECT v.version, m.movie_id, m.title, m.release_year, m.genres
FROM ({_VERSION}) v LEFT JOIN movies m ON true
"""
#: The films are compared again after this many times as long as the last comparison took. It takes 10 ms for
#: 58,000 films, which are compared twice a second; a million films are compared less often.
_COMPARED_SHARE = 50.0
#: The longest that a change of the films may go unnoticed.
_MOST_SECONDS = 10.0
#: Finds which of the given films have been deleted.
GONE = """
SELECT shown FROM unnest(%(shown)s::bigint[]) AS shown
WHERE NOT EXISTS (SELECT FROM movies WHERE movie_id = shown)
"""
_COUNTS = "SELECT movie_id, count(*), sum(rating)::float8 FROM ratings GROUP BY movie_id"


@dataclass(frozen=True, slots=True)
class Films:
    """The catalogue as it was at one moment.

    Attributes:
        version: equal for equal films.
        by_id: the fields of each film that replies show.
    """

    version: int
    by_id: Mapping[int, Mapping[str, Any]]


class Catalogue:
    """Follows the database's films; only one thread may use it."""

    def __init__(self) -> None:
        self._films: Films | None = None
        self._due = 0.0

    def films(self, connection: Connection[TupleRow]) -> Films:
        """The current films; the same object as before while nothing has changed."""
        if self._films is None or (
            time.monotonic() >= self._due and self._has_changed(connection, self._films)
        ):
            self._films = read_films(connection)
        return self._films

    def _has_changed(self, connection: Connection[TupleRow], films: Films) -> bool:
        started = time.monotonic()
        version = catalogue_version(connection)
        ended = time.monotonic()
        self._due = ended + min(_MOST_SECONDS, _COMPARED_SHARE * (ended - started))
        return version != films.version


def catalogue_version(connection: Connection[TupleRow]) -> int:
    """Read the current version of the catalogue: a digest of its films."""
    ((version,),) = connection.execute(_VERSION, prepare=True).fetchall()
    return int(version)


def read_films(connection: Connection[TupleRow]) -> Films:
    """Read the whole catalogue."""
    rows = connection.execute(_FILMS).fetchall()
    names = ("movie_id", "title", "release_year", "genres")
    by_id = {row[1]: dict(zip(names, row[1:], strict=True)) for row in rows if row[1] is not None}
    return Films(rows[0][0], by_id)


def read_gone(connection: Connection[TupleRow], movie_ids: Sequence[int]) -> set[int]:
    """Read which of these films have been deleted; to be called right before they are shown."""
    return {movie_id for (movie_id,) in connection.execute(GONE, {"shown": movie_ids}, prepare=True)}


def read_popularity(connection: Connection[TupleRow], films: Films) -> Sequence[tuple[int, float]]:
    """Ids of all films and their popularity, from 0 to 1, the most popular first.

    All ratings are read, without a limit of time.
    """
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        found = {row[0]: row[1:] for row in connection.execute(_COUNTS)}
    ids = np.asarray(sorted(films.by_id), np.int64)
    rows = np.asarray([found.get(movie_id, (0, 0.0)) for movie_id in ids.tolist()]).reshape(-1, 2)
    counts, sums = rows[:, 0].astype(np.int64), rows[:, 1]
    scores = popularity(counts, sums, float(sums.sum() / max(1, counts.sum())))
    order = np.argsort(-scores, kind="stable")
    return list(zip(ids[order].tolist(), scores[order].tolist(), strict=True))
