"""The canary: a test user with a unique name, and the changes that the checks make with it.

The canary rates a film, changes the rating and its own name, deletes the rating, and is deleted. Meanwhile
everything behind the masker is searched for its name and address, which must not be found there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

from confluent_kafka import Consumer, TopicPartition

from dataflix_clients import kafka, masker
from dataflix_clients.row_trace import Follower, RowTrace, following
from dataflix_contract import Table, tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC

if TYPE_CHECKING:
    import psycopg
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings

_WATCH_AND_RATE: LiteralString = (
    "WITH watched AS (INSERT INTO watched_movies (user_id, movie_id) VALUES (%(user_id)s, %(movie_id)s))"
    " INSERT INTO ratings (user_id, movie_id, rating) VALUES (%(user_id)s, %(movie_id)s, %(stars)s)"
)

#: Every topic that must not hold personal data.
MASKED_TOPICS = [*(table.masked_topic for table in tables().values()), DEAD_LETTER_TOPIC, DRIFT_TOPIC]

#: How long to wait for the next message.
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Canary:
    """A user whose name and address can be recognised wherever they appear.

    Attributes:
        marker: letters and digits that occur nowhere else; part of the name and of the address.
    """

    marker: str = field(default_factory=lambda: f"canary{secrets.token_hex(8)}")

    @property
    def name(self) -> str:
        """The canary's name."""
        return f"{self.marker} O'Brien-Ünal"

    @property
    def email(self) -> str:
        """The canary's address."""
        return f"{self.marker}@example.com"


@dataclass(frozen=True)
class Step:
    """One change: its title, the row that it changes, and the SQL statement that makes it."""

    title: str
    table: Table
    key: Mapping[str, Any]
    statement: str
    parameters: Mapping[str, Any]


def steps(canary: Canary, user_id: int, movie_id: int) -> list[Step]:
    """The changes to make in this order, once the canary's user exists."""
    users, ratings = tables()["users"], tables()["ratings"]
    user = {"user_id": user_id}
    rating = {"user_id": user_id, "movie_id": movie_id}
    return [
        Step(
            "rating inserted",
            ratings,
            rating,
            _WATCH_AND_RATE,
            rating | {"stars": 4.5},
        ),
        Step(
            "rating updated",
            ratings,
            rating,
            "UPDATE ratings SET rating = 2.0 WHERE user_id = %(user_id)s AND movie_id = %(movie_id)s",
            rating,
        ),
        Step(
            "user updated",
            users,
            user,
            "UPDATE users SET name = %(name)s WHERE user_id = %(user_id)s",
            user | {"name": canary.name + " II"},
        ),
        Step(
            "rating deleted",
            ratings,
            rating,
            "DELETE FROM ratings WHERE user_id = %(user_id)s AND movie_id = %(movie_id)s",
            rating,
        ),
        Step("user deleted", users, user, "DELETE FROM users WHERE user_id = %(user_id)s", user),
    ]


def play_canary(
    canary: Canary, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> Iterator[tuple[str, RowTrace]]:
    """Make one change after the other; yield each change's title with its trace at each stage.

    The canary and everything that belongs to it is deleted at the end in any case.

    Raises:
        Fault: a change did not arrive; no further changes are made.
    """
    users, ratings = tables()["users"], tables()["ratings"]
    with following(settings, warehouse, users, ratings) as follower, _film(source) as movie_id:
        user_id = _insert_user(source, canary)
        try:
            for trace in follower.follow(users, {"user_id": user_id}):
                yield "user inserted", trace
            for step in steps(canary, user_id, movie_id):
                yield from _take(step, source, follower)
        finally:
            source.execute("DELETE FROM users WHERE user_id = %s", [user_id])


def _take(step: Step, source: psycopg.Connection, follower: Follower) -> Iterator[tuple[str, RowTrace]]:
    source.execute(step.statement, step.parameters)
    for trace in follower.follow(step.table, step.key):
        yield step.title, trace


def _insert_user(source: psycopg.Connection, canary: Canary) -> int:
    row = source.execute(
        "INSERT INTO users (name, email, birth_year, city, state)"
        " VALUES (%s, %s, 1970, 'Springfield', 'Oregon') RETURNING user_id",
        [canary.name, canary.email],
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING gives a row or raises
    return int(row[0])


@contextmanager
def _film(source: psycopg.Connection) -> Iterator[int]:
    """The id of some film; if there is none, one is inserted and deleted at the end."""
    row = source.execute("SELECT movie_id FROM movies ORDER BY movie_id LIMIT 1").fetchone()
    if row is not None:
        yield int(row[0])
        return
    row = source.execute(
        "INSERT INTO movies (title, genres) VALUES ('The Canary', '{}') RETURNING movie_id"
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING gives a row or raises
    try:
        yield int(row[0])
    finally:
        source.execute("DELETE FROM movies WHERE movie_id = %s", [row[0]])


def topics_with(marker: str, consumer: Consumer, since: list[TopicPartition]) -> Iterator[str]:
    """Yield ``topic/partition@offset`` of each record after ``since`` that holds the marker.

    Args:
        marker: the text to look for, in keys, values and headers.
        consumer: a consumer whose assignment may be replaced.
        since: the positions to read from, or ``OFFSET_BEGINNING``; topics are read to their present ends.
    """
    needle = marker.encode()
    for message in kafka.read_to_end(consumer, since, _PATIENCE_SECONDS):
        parts = [message.key(), message.value(), *(value for _, value in message.headers() or [])]
        if any(needle in part for part in parts if isinstance(part, bytes)):
            yield f"{message.topic()}/{message.partition()}@{message.offset()}"


def warehouse_tables_with(marker: str, warehouse: Client) -> Iterator[str]:
    """Yield ``database.table`` of each of ClickHouse's tables, except its own, that holds the marker."""
    found = warehouse.query(
        "SELECT database, name FROM system.tables WHERE database NOT IN ('system', 'default')"
        " AND engine LIKE '%MergeTree'"
    )
    for database, table in found.result_rows:
        rows = warehouse.command(
            f"SELECT count() FROM `{database}`.`{table}`"
            " WHERE position(formatRow('TSV', *), {m:String}) > 0",
            parameters={"m": marker},
        )
        if int(str(rows)):
            yield f"{database}.{table}"


def metrics_pages_with(marker: str, settings: Settings) -> Iterator[str]:
    """Yield the address of each masker's metrics page that holds the marker.

    Raises:
        httpx.HTTPError: a page cannot be read.
    """
    for url, page in masker.read_metrics(settings).items():
        if marker in page:
            yield url
