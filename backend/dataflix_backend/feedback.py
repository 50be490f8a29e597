"""The paths for what users have watched, rated and dismissed: write, delete and list it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response
from psycopg import Connection, errors, sql
from psycopg.rows import TupleRow, dict_row
from pydantic import AwareDatetime, TypeAdapter

from dataflix_backend.database import RowRefusedError
from dataflix_backend.idempotency import ReplyKind, Work, Written, write
from dataflix_backend.movies import MOVIE_COLUMNS, RATINGS_OF_M, no_movie
from dataflix_backend.request_handling import context, reply
from dataflix_backend.schemas import (
    Dismissed,
    DismissedMovie,
    DismissedPage,
    Dismissing,
    Id,
    Movie,
    NewRating,
    Page,
    RatedMovie,
    RatedPage,
    Rating,
    Reply,
    Watched,
    WatchedMovie,
    WatchedPage,
    Watching,
)
from dataflix_backend.users import no_user, require_user
from dataflix_backend.validation import decode_cursor, encode_cursor, fingerprint

feedback = APIBlueprint("ratings", __name__, tag="Watched, rated, dismissed")

_MARK = sql.SQL("""
INSERT INTO {table} (user_id, movie_id) VALUES (%(user_id)s, %(movie_id)s)
ON CONFLICT DO NOTHING RETURNING {moment}
""")
_SEE_MARK = sql.SQL("SELECT {moment} FROM {table} WHERE user_id = %(user_id)s AND movie_id = %(movie_id)s")
# This is one statement, so that its foreign keys are checked once both rows are written. A row is new if this
# statement wrote it, and not the next one: xmax would show that too, but not in a partitioned table.
_RATE = """
WITH watched AS (
    INSERT INTO watched_movies (user_id, movie_id) VALUES (%(user_id)s, %(movie_id)s)
    ON CONFLICT DO NOTHING RETURNING 1
)
INSERT INTO ratings (user_id, movie_id, rating) VALUES (%(user_id)s, %(movie_id)s, %(rating)s)
ON CONFLICT DO NOTHING
RETURNING rated_at, updated_at,
    CASE WHEN EXISTS (SELECT FROM watched) THEN 'now' ELSE 'already' END AS watched
"""
_RATE_AGAIN = """
UPDATE ratings SET rating = %(rating)s WHERE user_id = %(user_id)s AND movie_id = %(movie_id)s
RETURNING rated_at, updated_at, 'already' AS watched
"""
# A write may be repeated to the client although its row was deleted since, but not if the user or film was.
_SEE_BOTH = "SELECT FROM users JOIN movies ON movie_id = %(movie_id)s WHERE user_id = %(user_id)s"
_OF_BOTH = sql.SQL(" FROM {table} WHERE user_id = %s AND movie_id = %s")


def _page_of(table: str, moment: str, *columns: str) -> str:
    """The SQL that selects a page of a user's rows of a table, newest first, and one row of the next page.

    Rows of deleted films are left out before counting: such rows remain where a film was deleted without its
    triggers (session_replication_role = replica). The comparison uses ~movie_id for a falling order of ids,
    since unlike -movie_id it exists for each bigint.
    """
    return f"""
    SELECT {", ".join(("movie_id", moment, *columns))} FROM {table}
    WHERE user_id = %(user_id)s AND ({moment}, ~movie_id) < (%(at)s::timestamptz, ~%(movie_id)s::bigint)
        AND EXISTS (SELECT FROM movies WHERE movies.movie_id = {table}.movie_id)
    ORDER BY {moment} DESC, movie_id LIMIT %(limit)s + 1
    """


_WATCHED_LIST = f"""
SELECT {MOVIE_COLUMNS}, w.watched_at, o.rating::float8
FROM ({_page_of("watched_movies", "watched_at")}) w JOIN movies m USING (movie_id) {RATINGS_OF_M}
LEFT JOIN ratings o ON o.user_id = %(user_id)s AND o.movie_id = m.movie_id
ORDER BY w.watched_at DESC, m.movie_id
"""
_RATED_LIST = f"""
SELECT {MOVIE_COLUMNS}, o.rating::float8, o.rated_at, o.updated_at
FROM ({_page_of("ratings", "updated_at", "rating", "rated_at")}) o
JOIN movies m USING (movie_id) {RATINGS_OF_M}
ORDER BY o.updated_at DESC, m.movie_id
"""
_DISMISSED_LIST = f"""
SELECT {MOVIE_COLUMNS}, d.dismissed_at
FROM ({_page_of("dismissed_movies", "dismissed_at")}) d JOIN movies m USING (movie_id) {RATINGS_OF_M}
ORDER BY d.dismissed_at DESC, m.movie_id
"""
_CursorPosition = tuple[datetime, int]
_CURSOR_POSITION: TypeAdapter[_CursorPosition] = TypeAdapter(tuple[AwareDatetime, Id])
_BEFORE_ALL = ("infinity", 0)


@feedback.post("/watched")
@feedback.input(Watching, arg_name="sent")
@feedback.output(Watched, HTTPStatus.CREATED, description="Marked as watched.")
@feedback.doc(responses={200: "It was marked before.", 404: "There is no such user, or no such film."})
def watch(sent: Watching) -> Response:
    """Mark a film as watched by a user."""
    return _mark(sent, "watched_movies", "watched_at", Watched)


@feedback.delete("/watched/<id:user_id>/<id:movie_id>")
@feedback.output({}, HTTPStatus.NO_CONTENT, description="Taken back.")
@feedback.doc(responses={404: "The user has not watched it."})
def unwatch(user_id: int, movie_id: int) -> tuple[str, int]:
    """Take a film off the films that a user has watched; their rating of it is deleted too."""
    return _delete("watched_movies", user_id, movie_id, "watched", "watched")


@feedback.post("/ratings")
@feedback.input(NewRating, arg_name="sent")
@feedback.output(Rating, HTTPStatus.CREATED, description="Rated.")
@feedback.doc(
    responses={200: "The earlier rating was changed.", 404: "There is no such user, or no such film."}
)
def rate(sent: NewRating) -> Response:
    """Rate a film, or change a rating.

    A film that was not watched is marked as watched, in the same transaction.
    """

    def upsert(connection: Connection[TupleRow]) -> Written:
        with connection.cursor(row_factory=dict_row) as cursor:
            new = cursor.execute(_RATE, sent.model_dump()).fetchone()
            row = new or cursor.execute(_RATE_AGAIN, sent.model_dump()).fetchone()
        if row is None:  # perhaps it was deleted in between: the caller tries again
            raise RowRefusedError("store", "ratings")
        status = HTTPStatus.CREATED if new else HTTPStatus.OK
        return Written(status, Rating(**sent.model_dump(), **row))

    return _write(sent, Rating, upsert)


@feedback.delete("/ratings/<id:user_id>/<id:movie_id>")
@feedback.output({}, HTTPStatus.NO_CONTENT, description="Deleted.")
@feedback.doc(responses={404: "The user has not rated it."})
def unrate(user_id: int, movie_id: int) -> tuple[str, int]:
    """Delete a rating; the film stays watched."""
    return _delete("ratings", user_id, movie_id, "rated", "ratings")


@feedback.post("/dismissed")
@feedback.input(Dismissing, arg_name="sent")
@feedback.output(Dismissed, HTTPStatus.CREATED, description="Dismissed.")
@feedback.doc(responses={200: "It was dismissed before.", 404: "There is no such user, or no such film."})
def dismiss(sent: Dismissing) -> Response:
    """Say that a film is of no interest to a user: it is not recommended to them again."""
    return _mark(sent, "dismissed_movies", "dismissed_at", Dismissed)


@feedback.delete("/dismissed/<id:user_id>/<id:movie_id>")
@feedback.output({}, HTTPStatus.NO_CONTENT, description="Taken back.")
@feedback.doc(responses={404: "The user has not dismissed it."})
def undismiss(user_id: int, movie_id: int) -> tuple[str, int]:
    """Take a film off the films that a user has dismissed."""
    return _delete("dismissed_movies", user_id, movie_id, "dismissed", "dismissed")


@feedback.get("/users/<id:user_id>/watched")
@feedback.input(Page, location="query", arg_name="page")
@feedback.output(WatchedPage)
@feedback.doc(responses={404: "There is no user of this id."})
def watched(user_id: int, page: Page) -> Response:
    """List what a user has watched, newest first."""
    return _list(_WATCHED_LIST, "watched_at", user_id, page, WatchedMovie, WatchedPage)


@feedback.get("/users/<id:user_id>/ratings")
@feedback.input(Page, location="query", arg_name="page")
@feedback.output(RatedPage)
@feedback.doc(responses={404: "There is no user of this id."})
def rated(user_id: int, page: Page) -> Response:
    """List what a user has rated, the newest change first."""
    return _list(_RATED_LIST, "updated_at", user_id, page, RatedMovie, RatedPage)


@feedback.get("/users/<id:user_id>/dismissed")
@feedback.input(Page, location="query", arg_name="page")
@feedback.output(DismissedPage)
@feedback.doc(responses={404: "There is no user of this id."})
def dismissed(user_id: int, page: Page) -> Response:
    """List what a user is not interested in, newest first."""
    return _list(_DISMISSED_LIST, "dismissed_at", user_id, page, DismissedMovie, DismissedPage)


def _delete(table: str, user_id: int, movie_id: int, did: str, listed: str) -> tuple[str, int]:
    """Delete the row of a user and a film; if there is none, the error names the list that shows them."""
    of_both = _OF_BOTH.format(table=sql.Identifier(table))
    with context().pool.connection() as connection:
        if not connection.execute(sql.SQL("DELETE") + of_both, [user_id, movie_id]).rowcount:
            if connection.execute(sql.SQL("SELECT") + of_both, [user_id, movie_id]).rowcount:
                raise RowRefusedError("delete", table)
            raise HTTPError(
                HTTPStatus.NOT_FOUND,
                f"this user has not {did} this film: GET /users/{{user_id}}/{listed} lists what they have",
            )
    return "", HTTPStatus.NO_CONTENT


def _list(  # noqa: PLR0913, PLR0917 - the three lists differ in these
    query: str,
    moment: str,
    user_id: int,
    page: Page,
    item: Callable[..., Reply],
    listing: Callable[..., Reply],
) -> Response:
    """Reply with a page of films; the query sorts its rows by the column ``moment``."""
    rows, next_page = _rows(query, moment, user_id, page)
    items = [item(movie=Movie(**row.movie), **row.rest) for row in rows]
    return reply(listing(items=items, next=next_page))


class _Row(NamedTuple):
    """A row of a list: the film's columns, and the others."""

    movie: dict[str, Any]
    rest: dict[str, Any]


def _rows(query: str, moment: str, user_id: int, page: Page) -> tuple[list[_Row], str | None]:
    """A page's rows, which the query sorts by the column ``moment``, and the next page's cursor."""
    mark = fingerprint({"user_id": user_id, "by": moment})
    at, movie_id = decode_cursor(page.cursor, mark, _CURSOR_POSITION) if page.cursor else _BEFORE_ALL
    values = {"user_id": user_id, "at": at, "movie_id": movie_id, "limit": page.limit}
    with context().pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        require_user(connection, user_id)
        found = [_split(row) for row in cursor.execute(query, values)]
    rows, more = found[: page.limit], len(found) > page.limit
    last = (rows[-1].rest[moment], rows[-1].movie["movie_id"]) if more else None
    return rows, last and encode_cursor(mark, last)


def _split(row: dict[str, Any]) -> _Row:
    movie = {name: row.pop(name) for name in Movie.model_fields}
    return _Row(movie, row)


def _mark(sent: Watching | Dismissing, table: str, moment: str, made: type[Reply]) -> Response:
    """Add the row of a user and a film to a table, with the time in ``moment``; an existing row is kept."""
    names = {"table": sql.Identifier(table), "moment": sql.Identifier(moment)}

    def insert(connection: Connection[TupleRow]) -> Written:
        new = connection.execute(_MARK.format(**names), sent.model_dump()).fetchone()
        row = new or connection.execute(_SEE_MARK.format(**names), sent.model_dump()).fetchone()
        if row is None:  # perhaps it was deleted in between: the caller tries again
            raise RowRefusedError("store", table)
        status = HTTPStatus.CREATED if new else HTTPStatus.OK
        return Written(status, made(**{moment: row[0]}, **sent.model_dump()))

    return _write(sent, made, insert)


def _write(sent: Watching | NewRating | Dismissing, made: type[Reply], work: Work) -> Response:
    """Write a row; if there is no such user or film, the error says which of them is missing."""
    try:
        return write(sent, ReplyKind(made, _SEE_BOTH), work).response()
    except errors.ForeignKeyViolation as fault:
        raise no_user() if "user_id" in (fault.diag.constraint_name or "") else no_movie() from None
