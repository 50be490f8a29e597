"""The paths of films with their current ratings: search films, show a film, list the genres.

A search sorts by a rising key and, for equal keys, by the id. A page begins after the key and id of the last
film on the page before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response
from psycopg import Connection
from psycopg.rows import TupleRow, class_row, dict_row
from pydantic import Field, TypeAdapter

from dataflix_backend.database import containing
from dataflix_backend.request_handling import context, reply
from dataflix_backend.schemas import GenreCount, Genres, Id, Movie, MoviePage, MovieSearch
from dataflix_backend.validation import decode_cursor, encode_cursor, fingerprint

movies = APIBlueprint("movies", __name__)

_GENRES = """
SELECT genre, count(*) AS movies FROM movies, unnest(genres) AS genre
GROUP BY genre ORDER BY movies DESC, genre
"""

#: The columns of a `Movie` for films ``m`` whose ratings are counted by `RATINGS_OF_M`.
MOVIE_COLUMNS = "m.movie_id, m.title, m.release_year, m.genres, m.overview, r.rating_count, r.rating_mean"
RATINGS_OF_M = """CROSS JOIN LATERAL (
    SELECT count(*) AS rating_count, round(avg(rating), 3)::float8 AS rating_mean
    FROM ratings WHERE movie_id = m.movie_id
) r"""

Place = tuple[float | str, int]

_Number = Annotated[float, Field(allow_inf_nan=False)]
# A title may hold any character that PostgreSQL takes: tabs and line breaks, but no NUL.
_BY_TEXT: TypeAdapter[Place] = TypeAdapter(
    tuple[Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")], Id]
)
_BY_NUMBER: TypeAdapter[Place] = TypeAdapter(tuple[_Number, Id])

#: Whether the genre ``g`` is the one in the parameter ``genre``; see :func:`genre_key`.
_GENRES_ARE_EQUAL = "lower(btrim(g)) = lower(btrim(%(genre)s))"
#: All films' ratings at once: cheaper than film by film if all films must be sorted.
_ALL_RATINGS = """LEFT JOIN (
    SELECT movie_id, count(*) AS votes, sum(rating) AS stars FROM ratings GROUP BY movie_id
) a USING (movie_id)"""


@movies.get("/movies")
@movies.input(MovieSearch, location="query", arg_name="wanted")
@movies.output(MoviePage)
def overview(wanted: MovieSearch) -> Response:
    """List films: all of them, or those of a title, a genre, some years."""
    order = order_of(wanted)
    query = fingerprint({"sort": order.name, **wanted.model_dump(exclude={"sort", "limit", "cursor"})})
    after = decode_cursor(wanted.cursor, query, order.place) if wanted.cursor else None
    with context().pool.connection() as connection:
        found = find(connection, wanted, order, after)
    items, more = found[: wanted.limit], len(found) > wanted.limit
    next_page = encode_cursor(query, items[-1].place) if more else None
    return reply(MoviePage(items=[one.movie for one in items], next=next_page))


@movies.get("/movies/<id:movie_id>")
@movies.output(Movie)
@movies.doc(responses={404: "There is no film of this id."})
def show(movie_id: int) -> Response:
    """Show a film."""
    with context().pool.connection() as connection:
        found = read_movies(connection, [movie_id])
    if not found:
        raise no_movie()
    return reply(found[movie_id])


@movies.get("/genres")
@movies.output(Genres)
def genres() -> Response:
    """List the genres, with how many films are of each."""
    with (
        context().pool.connection() as connection,
        connection.cursor(row_factory=class_row(GenreCount)) as cursor,
    ):
        return reply(Genres(items=cursor.execute(_GENRES).fetchall()))


def no_movie() -> HTTPError:
    """The error for an id that no film has."""
    return HTTPError(HTTPStatus.NOT_FOUND, "there is no film of this id: GET /movies finds them")


@dataclass(frozen=True, slots=True)
class Order:
    """An order of films.

    Attributes:
        name: as it is called in a request.
        key: the SQL expression to sort by, of films ``m`` and, if ``all_ratings``, all ratings ``a``.
        place: the type of a film's place in the order: the key's value and the id.
        all_ratings: whether the key needs all ratings.
    """

    name: str
    key: str
    place: TypeAdapter[Place] = _BY_NUMBER
    all_ratings: bool = False


_ORDERS = {
    order.name: order
    for order in (
        Order("title", "lower(left(m.title, 200))", place=_BY_TEXT),
        Order("year", "-coalesce(m.release_year, 0)::float8"),
        Order("popular", "-coalesce(a.votes, 0)::float8", all_ratings=True),
        # ten ratings of 3 stars are added, so that one good rating does not put a film first
        Order(
            "rating",
            "-((coalesce(a.stars, 0) + 30) / (coalesce(a.votes, 0) + 10))::float8",
            all_ratings=True,
        ),
        # how well some part of the title matches, plus how well the whole title does
        Order("relevance", "-(word_similarity(%(q)s, m.title) + similarity(%(q)s, m.title))::float8"),
    )
}

_QUERY = """
SELECT {columns}, m.key FROM (
    SELECT m.*, {key} AS key FROM movies m {joins}
    WHERE {conditions}
    ORDER BY key, movie_id LIMIT %(limit)s + 1
) m {ratings}
ORDER BY m.key, m.movie_id
"""


class Found(NamedTuple):
    """A film and its place in the order."""

    movie: Movie
    place: Place


def order_of(wanted: MovieSearch) -> Order:
    """The requested order; by default relevance, or title where there is no text to search for."""
    name = wanted.sort or "relevance"
    return _ORDERS["title" if name == "relevance" and not wanted.q else name]


def find(
    connection: Connection[TupleRow], wanted: MovieSearch, order: Order, after: Place | None
) -> list[Found]:
    """Find films after this place: one more than the limit, which shows whether there is a next page."""
    query, values = statement(wanted, order, after)
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_found(row) for row in cursor.execute(query, values)]


def statement(wanted: MovieSearch, order: Order, after: Place | None) -> tuple[str, dict[str, Any]]:
    """The SQL query of a search, and its parameters."""
    conditions = list(_conditions(wanted))
    values: dict[str, Any] = wanted.model_dump() | {"part": containing(wanted.q)}
    if after is not None:
        conditions.append(f"({order.key}, m.movie_id) > (%(key)s, %(movie_id)s)")
        values |= {"key": after[0], "movie_id": after[1]}
    query = _QUERY.format(
        columns=MOVIE_COLUMNS,
        ratings=RATINGS_OF_M,
        key=order.key,
        joins=_ALL_RATINGS if order.all_ratings else "",
        conditions=" AND ".join(conditions) or "true",
    )
    return query, values


def _conditions(wanted: MovieSearch) -> list[str]:
    asked = {
        # both use the index of trigrams: the first finds similar words, the second parts of words
        "(m.title %%> %(q)s OR m.title ILIKE %(part)s)": wanted.q,
        f"EXISTS (SELECT FROM unnest(m.genres) AS g WHERE {_GENRES_ARE_EQUAL})": wanted.genre,
        "m.release_year >= %(year_from)s": wanted.year_from,
        "m.release_year <= %(year_to)s": wanted.year_to,
    }
    return [condition for condition, value in asked.items() if value not in (None, "")]


def _found(row: dict[str, Any]) -> Found:
    key = row.pop("key")
    return Found(Movie(**row), (key, row["movie_id"]))


def read_movies(connection: Connection[TupleRow], movie_ids: Iterable[int]) -> dict[int, Movie]:
    """The films with these ids; ids without a film are left out."""
    with connection.cursor(row_factory=class_row(Movie)) as cursor:
        cursor.execute(
            f"SELECT {MOVIE_COLUMNS} FROM movies m {RATINGS_OF_M} WHERE m.movie_id = ANY(%s)",
            [list(movie_ids)],
        )
        return {movie.movie_id: movie for movie in cursor}


def genre_key(name: str) -> str:
    """A genre's name in the form for comparisons: in lower case, without spaces around it.

    :data:`_GENRES_ARE_EQUAL` is the same rule in SQL.
    """
    return name.strip(" ").lower()
