"""Load parsed records into their tables: films, users, and ratings with the viewings that they imply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar

import psycopg

from dataflix_postgres.made_up_people import person
from dataflix_postgres.movielens.records import Movie, Rating, Reason, User

R = TypeVar("R", Movie, User, Rating)

_COPY_USERS = "COPY users (user_id, name, email, birth_year, city, state, created_at, updated_at) FROM STDIN"
_COPY_MOVIES = "COPY movies (movie_id, title, release_year, genres, overview) FROM STDIN"

_STAGE = """
CREATE TEMP TABLE staged (
    line     bigint NOT NULL,
    user_id  bigint NOT NULL,
    movie_id bigint NOT NULL,
    rating   numeric(2, 1) NOT NULL,
    rated_at bigint NOT NULL
) ON COMMIT DELETE ROWS
"""
_COPY_STAGED = "COPY staged (line, user_id, movie_id, rating, rated_at) FROM STDIN"
_INSERT_WATCHED = """
INSERT INTO watched_movies (user_id, movie_id, watched_at)
SELECT user_id, movie_id, to_timestamp(rated_at) FROM staged ORDER BY line
ON CONFLICT DO NOTHING
"""
#: Of several lines with the same key, the first is inserted; returns the numbers of the others.
_INSERT_RATINGS = """
WITH inserted AS (
    INSERT INTO ratings (user_id, movie_id, rating, rated_at, updated_at)
    SELECT user_id, movie_id, rating, to_timestamp(rated_at), to_timestamp(rated_at) FROM staged ORDER BY line
    ON CONFLICT DO NOTHING
    RETURNING user_id, movie_id
)
SELECT line FROM (
    SELECT line, inserted.user_id IS NULL AS absent,
           row_number() OVER (PARTITION BY user_id, movie_id ORDER BY line) AS place
    FROM staged LEFT JOIN inserted USING (user_id, movie_id)
) AS placed
WHERE absent OR place > 1
ORDER BY line
"""
#: Sets when users joined to the time of their first rating, which need not be their first line in the file.
_USERS_JOINED_EARLIER = """
UPDATE users SET created_at = first.moment
FROM (SELECT user_id, to_timestamp(min(rated_at)) AS moment FROM staged GROUP BY user_id) AS first
WHERE users.user_id = first.user_id AND users.created_at > first.moment
"""


class Loader(ABC, Generic[R]):
    """Loads the records of one kind of file into their tables."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @abstractmethod
    def load(self, records: Mapping[int, R]) -> dict[int, Reason]:
        """Load records, given by line number; return the lines that were not loaded, with the reasons."""


class MovieLoader(Loader[Movie]):
    """Loads films; of two with the same id, the first."""

    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(connection)
        self._known = _ids(connection, "SELECT movie_id FROM movies")

    def load(self, records: Mapping[int, Movie]) -> dict[int, Reason]:
        """Copy the new films."""
        new, refused = _first_of_each(records, self._known)
        with self._connection.cursor() as cursor, cursor.copy(_COPY_MOVIES) as copy:
            for each in new:
                copy.write_row(
                    (each.movie_id, each.title, each.release_year, list(each.genres), each.overview)
                )
        return refused


class UserLoader(Loader[User]):
    """Loads users of a users' file, with made-up names and addresses."""

    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(connection)
        self._known = _ids(connection, "SELECT user_id FROM users")

    def load(self, records: Mapping[int, User]) -> dict[int, Reason]:
        """Copy the new users."""
        new, refused = _first_of_each(records, self._known)
        now = datetime.now(UTC)
        _copy_users(self._connection, ((each.user_id, each.birth_year, now) for each in new))
        return refused


class RatingLoader(Loader[Rating]):
    """Loads ratings and the viewings that they imply.

    Args:
        connection: to the database.
        make_users: whether unknown users are created from their ratings, as there is no users' file;
            otherwise a rating by an unknown user is refused.
    """

    def __init__(self, connection: psycopg.Connection, *, make_users: bool) -> None:
        super().__init__(connection)
        self._movies = _ids(connection, "SELECT movie_id FROM movies")
        self._users = _ids(connection, "SELECT user_id FROM users")
        self._make_users = make_users
        connection.execute(_STAGE)

    def load(self, records: Mapping[int, Rating]) -> dict[int, Reason]:
        """Copy the ratings of known films into a temporary table, and insert new ones from there."""
        refused = self._unknown(records)
        staged = {line: each for line, each in records.items() if line not in refused}
        if self._make_users:
            self._add_users(staged.values())
        self._stage(staged)
        execute = self._connection.execute
        execute(_INSERT_WATCHED)
        refused |= {line: Reason.DUPLICATE for (line,) in execute(_INSERT_RATINGS)}
        execute(_USERS_JOINED_EARLIER)
        return refused

    def _unknown(self, records: Mapping[int, Rating]) -> dict[int, Reason]:
        refused = {}
        for line, each in records.items():
            if each.movie_id not in self._movies:
                refused[line] = Reason.MOVIE
            elif not self._make_users and each.user_id not in self._users:
                refused[line] = Reason.USER
        return refused

    def _add_users(self, ratings: Iterable[Rating]) -> None:
        joined: dict[int, int] = {}
        for each in ratings:
            if each.user_id not in self._users:
                joined[each.user_id] = min(each.rated_at, joined.get(each.user_id, each.rated_at))
        rows = ((user_id, None, datetime.fromtimestamp(at, UTC)) for user_id, at in joined.items())
        _copy_users(self._connection, rows)
        self._users |= joined.keys()

    def _stage(self, records: Mapping[int, Rating]) -> None:
        # Numbers need no escaping, so that one text can be written, which is several times faster than rows.
        text = "".join(
            f"{line}\t{user_id}\t{movie_id}\t{stars}\t{rated_at}\n"
            for line, (user_id, movie_id, stars, rated_at) in records.items()
        )
        with self._connection.cursor() as cursor, cursor.copy(_COPY_STAGED) as copy:
            copy.write(text)
        self._connection.execute("ANALYZE staged")


def _first_of_each(records: Mapping[int, R], known: set[int]) -> tuple[list[R], dict[int, Reason]]:
    """The records with new ids, which are added to ``known``, and the lines whose id was known before."""
    new, refused = [], {}
    for line, each in records.items():
        if each[0] in known:
            refused[line] = Reason.DUPLICATE
        else:
            known.add(each[0])
            new.append(each)
    return new, refused


def _copy_users(connection: psycopg.Connection, users: Iterable[tuple[int, int | None, datetime]]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY_USERS) as copy:
        for user_id, born, joined in users:
            who = person(user_id)
            born_or_made_up = born or who.birth_year
            copy.write_row(
                (user_id, who.name, who.email, born_or_made_up, who.city, who.state, joined, joined)
            )


def _ids(connection: psycopg.Connection, query: str) -> set[int]:
    return {row[0] for row in connection.execute(query.encode())}
