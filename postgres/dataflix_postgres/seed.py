"""The program ``dataflix-seed``: fills an empty database with the sample data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import psycopg
import typer
from psycopg import sql

from dataflix_contract import tables
from dataflix_contract.console import Console, Progress, progress
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.database import advance_identities, connect_owner, describe
from dataflix_postgres.generator import FIRST_DAY, Film, History, catalogue, histories
from dataflix_postgres.made_up_people import person

make_output_safe()
app = typer.Typer(add_completion=False)

_USER_COLUMNS = ("user_id", "name", "email", "birth_year", "city", "state", "created_at", "updated_at")
_MOVIE_COLUMNS = ("movie_id", "title", "release_year", "genres", "overview", "created_at")
_WATCHED_COLUMNS = ("user_id", "movie_id", "watched_at")
_RATING_COLUMNS = ("user_id", "movie_id", "rating", "rated_at", "updated_at")

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class SampleRows:
    """The sample data as rows of each table, in the order in which foreign keys allow them to be loaded."""

    users: Rows
    movies: Rows
    watched_movies: Rows
    ratings: Rows

    @property
    def total(self) -> int:
        """The number of rows of all tables."""
        return len(self.users) + len(self.movies) + len(self.watched_movies) + len(self.ratings)


@app.command()
def main(
    users: Annotated[int, typer.Option(min=1, max=100_000, help="How many users.")] = 500,
    ratings_per_user: Annotated[
        int, typer.Option(min=1, max=300, help="Mean number of ratings per user.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
) -> None:
    """Load made-up users, films, viewings and ratings, unless the tables already hold rows."""
    with program_settings(describe) as settings:
        started = time.monotonic()
        with connect_owner(settings) as connection:
            if not _claim_empty_tables(connection):
                typer.echo("the tables hold data already: nothing loaded")
                return
            rows = sample_rows(catalogue(), histories(catalogue(), users, ratings_per_user, seed), seed)
            load(connection, rows)
        typer.echo(
            f"loaded {len(rows.users)} users, {len(rows.movies)} movies, {len(rows.watched_movies)} viewings"
            f" and {len(rows.ratings)} ratings in {time.monotonic() - started:.1f} s"
        )


def sample_rows(films: Sequence[Film], people: Iterable[History], seed: int = 0) -> SampleRows:
    """Turn films and histories into rows."""
    users, watched, ratings = [], [], []
    for history in people:
        users.append(_user_row(history, seed))
        for viewing in history.viewings:
            key = (history.user_id, viewing.movie_id)
            watched.append((*key, viewing.watched_at))
            if viewing.rating is not None:
                ratings.append((*key, viewing.rating, viewing.rated_at, viewing.rated_at))
    movies = [(f.movie_id, f.title, f.release_year, list(f.genres), f.overview, FIRST_DAY) for f in films]
    return SampleRows(users, movies, watched, ratings)


def load(connection: psycopg.Connection, rows: SampleRows) -> None:
    """Load all rows in one transaction, and advance the generated ids beyond theirs."""
    with connection.transaction(), progress("sample data", Console(stderr=True), rows.total) as shown:
        _copy(connection, "users", _USER_COLUMNS, rows.users, shown)
        _copy(connection, "movies", _MOVIE_COLUMNS, rows.movies, shown)
        _copy(connection, "watched_movies", _WATCHED_COLUMNS, rows.watched_movies, shown)
        _copy(connection, "ratings", _RATING_COLUMNS, rows.ratings, shown)
        advance_identities(connection)


def _claim_empty_tables(connection: psycopg.Connection) -> bool:
    """Lock the tables against writers until the transaction ends, and return whether they are empty."""
    names = [sql.Identifier(name) for name in tables()]
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.SQL(", ").join(names)))
    found = sql.SQL(" UNION ALL ").join(sql.SQL("(SELECT 1 FROM {} LIMIT 1)").format(name) for name in names)
    return connection.execute(found).fetchone() is None


def _copy(
    connection: psycopg.Connection, table: str, columns: Sequence[str], rows: Rows, shown: Progress
) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    shown.advance(len(rows))


def _user_row(history: History, seed: int) -> tuple[int, str, str, int, str, str, datetime, datetime]:
    who = person(history.user_id, seed)
    return (
        history.user_id,
        who.name,
        who.email,
        who.birth_year,
        who.city,
        who.state,
        history.joined_at,
        history.joined_at,
    )
