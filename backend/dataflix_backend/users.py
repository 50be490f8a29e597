"""The paths of users: make, show, list and erase them."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response
from psycopg import Connection, errors
from psycopg.rows import TupleRow, class_row
from pydantic import TypeAdapter

from dataflix_backend.database import RowRefusedError, containing
from dataflix_backend.idempotency import ReplyKind, Written, write
from dataflix_backend.request_handling import context, reply
from dataflix_backend.schemas import Id, NewUser, User, UserName, UserPage, UserSearch
from dataflix_backend.validation import decode_cursor, encode_cursor, fingerprint
from dataflix_contract.schema import ADVANCE_IDENTITIES, LEAST_ID

users = APIBlueprint("users", __name__, url_prefix="/users")

_COLUMNS = "user_id, name, email, birth_year, city, state, created_at, updated_at"
_INSERT = f"""
INSERT INTO users (name, email, birth_year, city, state)
VALUES (%(name)s, %(email)s, %(birth_year)s, %(city)s, %(state)s) RETURNING {_COLUMNS}
"""
_SHOW = f"SELECT {_COLUMNS} FROM users WHERE user_id = %s"
_LIST = "SELECT user_id, name FROM users WHERE user_id > %(after)s ORDER BY user_id LIMIT %(limit)s + 1"
# a separate statement, since one plan for both would not use the index of names
_LIST_NAMED = _LIST.replace("ORDER BY", "AND name ILIKE %(part)s ORDER BY")
_MADE = ReplyKind(User, "SELECT FROM users WHERE user_id = %(user_id)s")
_AFTER: TypeAdapter[int] = TypeAdapter(Id)
#: One less than the least bigint: PostgreSQL compares it as a numeric, and every id is greater.
_BEFORE_ALL = LEAST_ID - 1

_ADVANCE = f"SELECT {ADVANCE_IDENTITIES}()"
#: How often an id is drawn for a new user. If it is taken, the sequence advances beyond all ids of rows that
#: were loaded with ids of their own; a further draw is only needed while such rows are being loaded.
_MOST_DRAWS = 5
#: The names of the constraints that keep ids and e-mail addresses unique.
_ID_CONSTRAINT, _EMAIL_CONSTRAINT = "users_pkey", "users_email_key"


@users.post("")
@users.input(NewUser, arg_name="sent")
@users.output(User, HTTPStatus.CREATED, description="Made.")
@users.doc(responses={409: "Another user has this e-mail address."})
def create(sent: NewUser) -> Response:
    """Make a user."""

    def insert(connection: Connection[TupleRow]) -> Written:
        with connection.cursor(row_factory=class_row(User)) as cursor:
            user = cursor.execute(_INSERT, sent.model_dump()).fetchone()
        if user is None:
            raise RowRefusedError("store", "users")
        return Written(HTTPStatus.CREATED, user)

    written = _with_a_free_id(lambda: write(sent, _MADE, insert))
    assert isinstance(written.body, User)  # noqa: S101 - as was asked for
    return written.response({"Location": f"/users/{written.body.user_id}"})


@users.get("")
@users.input(UserSearch, location="query", arg_name="wanted")
@users.output(UserPage)
def overview(wanted: UserSearch) -> Response:
    """List users by id, or those with a part of a name."""
    query = fingerprint({"users": wanted.name})
    after = decode_cursor(wanted.cursor, query, _AFTER) if wanted.cursor else _BEFORE_ALL
    with (
        context().pool.connection() as connection,
        connection.cursor(row_factory=class_row(UserName)) as cursor,
    ):
        values = {"after": after, "part": containing(wanted.name), "limit": wanted.limit}
        found = cursor.execute(_LIST_NAMED if values["part"] else _LIST, values).fetchall()
    items, more = found[: wanted.limit], len(found) > wanted.limit
    return reply(UserPage(items=items, next=encode_cursor(query, items[-1].user_id) if more else None))


@users.get("/<id:user_id>")
@users.output(User)
@users.doc(responses={404: "There is no user of this id."})
def show(user_id: int) -> Response:
    """Show a user."""
    with context().pool.connection() as connection, connection.cursor(row_factory=class_row(User)) as cursor:
        user = cursor.execute(_SHOW, [user_id]).fetchone()
    if user is None:
        raise no_user()
    return reply(user)


@users.delete("/<id:user_id>")
@users.output({}, HTTPStatus.NO_CONTENT, description="Erased.")
@users.doc(responses={404: "There is no user of this id."})
def erase(user_id: int) -> tuple[str, int]:
    """Erase a user, with all that they watched, rated and dismissed.

    PostgreSQL deletes the rows at once, the stream marks them as deleted in the warehouse within seconds,
    and the next batch removes the user from marts and model.
    """
    with context().pool.connection() as connection:
        if not connection.execute("DELETE FROM users WHERE user_id = %s", [user_id]).rowcount:
            require_user(connection, user_id)
            raise RowRefusedError("delete", "users")
    return "", HTTPStatus.NO_CONTENT


def _with_a_free_id(make: Callable[[], Written]) -> Written:
    """Make a user. If the drawn id is taken, draw one above all ids of rows that were loaded with ids.

    Raises:
        HTTPError: 409, another user has this e-mail address or another unique value; 503, ids are taken
            faster than they are drawn.
    """
    for _ in range(_MOST_DRAWS):
        try:
            return make()
        except errors.UniqueViolation as fault:
            if fault.diag.constraint_name != _ID_CONSTRAINT:
                raise _conflict(fault) from None
        with context().pool.connection() as connection:
            connection.execute(_ADVANCE)
    raise HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "somebody is loading users with ids of their own: try again in a moment",
        headers={"Retry-After": "1"},
    )


def _conflict(fault: errors.UniqueViolation) -> HTTPError:
    """The error for a user with a unique value that another user has."""
    constraint = fault.diag.constraint_name
    if constraint == _EMAIL_CONSTRAINT:
        what = (
            "another user has this e-mail address: send another one, or find that user with GET /users?name="
        )
    else:
        what = f"another user has what {constraint} allows once: send something else in its place"
    return HTTPError(HTTPStatus.CONFLICT, what)


def require_user(connection: Connection[TupleRow], user_id: int) -> None:
    """Make sure that there is a user of this id.

    Raises:
        HTTPError: 404, there is none.
    """
    if connection.execute("SELECT FROM users WHERE user_id = %s", [user_id]).fetchone() is None:
        raise no_user()


def no_user() -> HTTPError:
    """The error for an id that no user has."""
    return HTTPError(HTTPStatus.NOT_FOUND, "there is no user of this id: GET /users lists them")
