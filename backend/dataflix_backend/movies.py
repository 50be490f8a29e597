"""Films: find and show them."""

from __future__ import annotations

from http import HTTPStatus

from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response
from psycopg.rows import class_row

from dataflix_backend import cursors, movie_queries
from dataflix_backend.context import context, reply
from dataflix_backend.schemas import GenreCount, Genres, Movie, MoviePage, MovieSearch

movies = APIBlueprint("movies", __name__)

_GENRES = """
SELECT genre, count(*) AS movies FROM movies, unnest(genres) AS genre
GROUP BY genre ORDER BY movies DESC, genre
"""


@movies.get("/movies")
@movies.input(MovieSearch, location="query", arg_name="wanted")
@movies.output(MoviePage)
def overview(wanted: MovieSearch) -> Response:
    """List films: all of them, or those of a title, a genre, some years."""
    order = movie_queries.order_of(wanted)
    query = cursors.fingerprint(
        {"sort": order.name, **wanted.model_dump(exclude={"sort", "limit", "cursor"})}
    )
    after = cursors.decode(wanted.cursor, query, order.place) if wanted.cursor else None
    with context().pool.connection() as connection:
        found = movie_queries.find(connection, wanted, order, after)
    items, more = found[: wanted.limit], len(found) > wanted.limit
    next_page = cursors.encode(query, items[-1].place) if more else None
    return reply(MoviePage(items=[one.movie for one in items], next=next_page))


@movies.get("/movies/<id:movie_id>")
@movies.output(Movie)
@movies.doc(responses={404: "There is no film of this id."})
def show(movie_id: int) -> Response:
    """Show a film."""
    with context().pool.connection() as connection:
        found = movie_queries.read_movies(connection, [movie_id])
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
    """The refusal of an unknown film's id."""
    return HTTPError(HTTPStatus.NOT_FOUND, "there is no film of this id: GET /movies finds them")
