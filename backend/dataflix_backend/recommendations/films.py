"""The catalogue in memory, and PostgreSQL's own popularity for the time before the first model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.rows import TupleRow

from dataflix_contract.schema import CATALOGUE_VERSION
from dataflix_recommender import popularity

_VERSION = f"SELECT version FROM {CATALOGUE_VERSION}"
#: One statement: the films are those of the version that comes with them.
_FILMS = f"""
SELECT v.version, m.movie_id, m.title, m.release_year, m.genres
FROM {CATALOGUE_VERSION} v LEFT JOIN movies m ON true
"""
_COUNTS = "SELECT movie_id, count(*), sum(rating)::float8 FROM ratings GROUP BY movie_id"


@dataclass(frozen=True, slots=True)
class Films:
    """The catalogue as it was at one moment.

    Attributes:
        version: changes with the films.
        by_id: each film's part of a reply.
    """

    version: int
    by_id: Mapping[int, Mapping[str, Any]]


def catalogue_version(connection: Connection[TupleRow]) -> int:
    """The version that the catalogue has now."""
    ((version,),) = connection.execute(_VERSION, prepare=True).fetchall()
    return int(version)


def read_films(connection: Connection[TupleRow]) -> Films:
    """The whole catalogue."""
    rows = connection.execute(_FILMS).fetchall()
    names = ("movie_id", "title", "release_year", "genres")
    by_id = {row[1]: dict(zip(names, row[1:], strict=True)) for row in rows if row[1] is not None}
    return Films(rows[0][0], by_id)


def read_popularity(connection: Connection[TupleRow], films: Films) -> Sequence[tuple[int, float]]:
    """Ids of all films and how popular they are, from 0 to 1, the most popular first.

    It reads all ratings, however long that takes.
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
