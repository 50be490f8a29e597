"""Films as PostgreSQL has them, with what users think of them right now."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from dataflix_backend.schemas import Movie

#: The columns of a `Movie` for films ``m`` whose ratings are counted by `RATINGS_OF_M`.
COLUMNS = "m.movie_id, m.title, m.release_year, m.genres, m.overview, r.rating_count, r.rating_mean"
RATINGS_OF_M = """CROSS JOIN LATERAL (
    SELECT count(*) AS rating_count, round(avg(rating), 3)::float8 AS rating_mean
    FROM ratings WHERE movie_id = m.movie_id
) r"""


def read_movies(connection: Connection[TupleRow], movie_ids: Iterable[int]) -> dict[int, Movie]:
    """The films of these ids; those that are not there are left out."""
    with connection.cursor(row_factory=class_row(Movie)) as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM movies m {RATINGS_OF_M} WHERE m.movie_id = ANY(%s)", [list(movie_ids)]
        )
        return {movie.movie_id: movie for movie in cursor}
