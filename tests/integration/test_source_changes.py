"""What people do to the source's tables: truncated, altered, rewritten. Nothing ends as a silent NULL."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings, tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC
from dataflix_stream_processors.dead_letter_record import Reason, cure
from support.equality import differences, masking_of
from support.raw import letters, read_until, reading
from support.reconciliation import reconciled
from support.stack import Stack
from support.waiting import wait_until

RECONCILE = "bin/dataflix-reconcile"
DLQ = str(Path(sys.executable).with_name("dataflix-dlq"))
SECONDS = 240


@pytest.fixture
def user(source: psycopg.Connection) -> Iterator[int]:
    """A user with a city, whom the test may change; gone at the end."""
    user_id = -secrets.randbelow(1 << 40)
    source.execute(
        "INSERT INTO users (user_id, name, email, city) VALUES (%s, 'Somebody', %s, 'Here')",
        [user_id, f"{user_id}@changes.example"],
    )
    yield user_id
    source.execute("DELETE FROM users WHERE user_id = %s", [user_id])


@pytest.fixture
def rated(source: psycopg.Connection, user: int) -> int:
    """The user has rated film 1 with 3.5 stars; the user's number."""
    source.execute("INSERT INTO watched_movies VALUES (%s, 1)", [user])
    source.execute("INSERT INTO ratings (user_id, movie_id, rating) VALUES (%s, 1, 3.5)", [user])
    return user


@contextmanager
def altered(source: psycopg.Connection, change: str, undo: str) -> Iterator[None]:
    """Alter a table, and put it back."""
    source.execute(change.encode())
    try:
        yield
    finally:
        source.execute(undo.encode())


def wait_for_equality(source: psycopg.Connection, warehouse: Client, settings: Settings) -> None:
    wait_until(lambda: differences(source, warehouse, settings) == [], "both are equal", SECONDS)


def found(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in ("missing", "different", "ghosts"))


def of_users(warehouse: Client, user: int, what: str) -> tuple[Any, ...]:
    """What a query gives of a user; nothing while the user is not there, unless it counts."""
    rows = warehouse.query(f"SELECT {what} FROM raw.users FINAL WHERE user_id = {user}").result_rows
    return tuple(rows[0]) if rows else ()


def test_a_truncate_empties_the_warehouse_and_what_comes_after_it_stays(
    settings: Settings, source: psycopg.Connection, warehouse: Client, rated: int
) -> None:
    wait_for_equality(source, warehouse, settings)
    source.execute("CREATE TEMPORARY TABLE kept_watched AS TABLE watched_movies")
    source.execute("CREATE TEMPORARY TABLE kept_ratings AS TABLE ratings")
    with source.transaction():
        source.execute("UPDATE ratings SET rating = 1.0 WHERE user_id = %s", [rated])
        source.execute("TRUNCATE watched_movies CASCADE")  # takes the ratings along
        source.execute("INSERT INTO watched_movies VALUES (%s, 1)", [rated])
        source.execute("INSERT INTO ratings (user_id, movie_id, rating) VALUES (%s, 1, 5.0)", [rated])
    try:
        for table in ("ratings", "watched_movies"):
            left = f"SELECT groupArray(user_id) FROM raw.{table} FINAL"
            wait_until(
                lambda query=left: warehouse.query(query).result_rows == [([rated],)],  # type: ignore[misc]
                f"one row is left of {table}",
                SECONDS,
            )
        errors = 'SELECT count() FROM raw.ingest_errors WHERE startsWith(message, \'{"op":"t"\')'
        assert warehouse.command(errors) == 0
        told = "SELECT uniqExact(table_name) FROM ops.truncates WHERE version > 0"
        assert int(str(warehouse.command(told))) >= 2
        assert [found(report) for report in reconciled(settings).values()] == [(0, 0, 0)] * len(tables())
    finally:
        source.execute("INSERT INTO watched_movies SELECT * FROM kept_watched ON CONFLICT DO NOTHING")
        source.execute("INSERT INTO ratings SELECT * FROM kept_ratings ON CONFLICT DO NOTHING")
    wait_for_equality(source, warehouse, settings)


def test_a_renamed_table_is_healed_by_the_cure_that_is_told_and_children_are_not_blamed_on_the_stream(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client, rated: int
) -> None:
    wait_for_equality(source, warehouse, settings)
    reconciled(settings, "ratings")
    renaming = "ALTER TABLE ratings RENAME TO ratings2"
    with altered(source, renaming, "ALTER TABLE IF EXISTS ratings2 RENAME TO ratings"):
        source.execute("UPDATE ratings2 SET rating = 4.5 WHERE user_id = %s", [rated])
        told = stack.run("bin/dataflix-connector", "preflight", "--json", check=False).stdout
        [finding] = json.loads(told)
        cure = finding["cure"].removeprefix("if it was renamed, ").partition(", then ")[0]
        source.execute(cure.encode())
    reconciled(settings, "ratings")
    assert differences(source, warehouse, settings) == []
    source.execute("UPDATE ratings SET rating = 1.5 WHERE user_id = %s", [rated])
    wait_for_equality(source, warehouse, settings)

    with altered(source, "CREATE TABLE ratings_old () INHERITS (ratings)", "DROP TABLE ratings_old"):
        source.execute("INSERT INTO ratings_old (user_id, movie_id, rating) VALUES (%s, 2, 3)", [rated])
        assert found(reconciled(settings, "ratings")["ratings"]) == (0, 0, 0)


RENAMED = (
    "ALTER TABLE users RENAME COLUMN city TO town",
    "ALTER TABLE users RENAME COLUMN town TO city",
)
GENERATED = (
    f"{RENAMED[0]}; ALTER TABLE users ADD COLUMN city text GENERATED ALWAYS AS (town) STORED",
    f"ALTER TABLE users DROP COLUMN city; {RENAMED[1]}",
)


@pytest.mark.parametrize("alteration", [RENAMED, GENERATED], ids=["renamed", "generated"])
def test_a_column_that_is_not_captured_keeps_its_last_value_and_is_named(
    alteration: tuple[str, str], stack: Stack, source: psycopg.Connection, warehouse: Client, user: int
) -> None:
    gone = user - 1
    source.execute("INSERT INTO users (user_id, name, city) VALUES (%s, 'To be erased', 'Here')", [gone])
    wait_until(lambda: of_users(warehouse, gone, "count()") == (1,), "both users have come", SECONDS)
    with reading(stack.settings, DEAD_LETTER_TOPIC) as dead:
        with altered(source, *alteration):
            source.execute("UPDATE users SET state = 'changed' WHERE user_id = %s", [user])
            source.execute("DELETE FROM users WHERE user_id = %s", [gone])
            [letter] = letters(read_until(dead, letters, SECONDS))
            wait_until(lambda: of_users(warehouse, gone, "count()") == (0,), "the erasure passes", SECONDS)
        assert letter["reason"] == Reason.MISSING_COLUMN
        assert letter["detail"].startswith("after.city: ")
        assert of_users(warehouse, user, "city, state") == ("Here", None)

        where = letter["position"]
        name = f"{where['topic']}:{where['partition']}:{where['offset']}"
        again = stack.run(DLQ, "replay", "--id", name, check=False)
        assert again.returncode == 1
        assert "refused again" in again.stdout
        assert cure(Reason.MISSING_COLUMN) in again.stdout
    [report] = reconciled(stack.settings, "users").values()
    assert found(report) == (0, 1, 0)
    assert of_users(warehouse, user, "city, state") == ("Here", "changed")
    waiting = [json.loads(line) for line in stack.run(DLQ, "list", "--json").stdout.splitlines()]
    assert not [one for one in waiting if one["letter"]["fingerprint"] == letter["fingerprint"]]


def test_numbers_of_another_scale_arrive_and_what_the_contract_cannot_hold_is_refused(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client, rated: int
) -> None:
    wait_for_equality(source, warehouse, settings)
    stars = f"SELECT toString(rating) FROM raw.ratings FINAL WHERE user_id = {rated}"

    def rate(rating: str) -> None:
        source.execute("UPDATE ratings SET rating = %s::numeric WHERE user_id = %s", [rating, rated])

    with reading(settings, DEAD_LETTER_TOPIC) as dead:
        back = "ALTER TABLE ratings ALTER rating TYPE numeric(2,1)"
        for kind, rating in (("numeric", "4.50"), ("numeric(3,2)", "2.00")):
            with altered(source, f"ALTER TABLE ratings ALTER rating TYPE {kind}", back):
                rate(rating)
                wait_until(
                    lambda want=float(rating): float(str(warehouse.command(stars))) == want,  # type: ignore[misc]
                    f"{rating} as {kind} has come",
                    SECONDS,
                )
                assert found(reconciled(settings, "ratings")["ratings"]) == (0, 0, 0)
        assert letters(dead(0.2)) == []
        # the constraint computes with numeric
        halves = "CONSTRAINT ratings_rating_in_halves"
        without = f"ALTER TABLE ratings DROP {halves}, ALTER rating TYPE float8"
        back += f", ADD {halves} CHECK (rating BETWEEN 0.5 AND 5.0 AND rating % 0.5 = 0)"
        with altered(source, without, back):
            rate("5")
            [letter] = letters(read_until(dead, letters, SECONDS))
            refused = stack.run(RECONCILE, "ratings", check=False)
    assert letter["detail"] == "after.rating: expected numeric(2,1), got float"
    assert refused.returncode == 1
    assert "ratings.rating in PostgreSQL does not fit" in refused.stderr
    reconciled(settings, "ratings")
    assert differences(source, warehouse, settings) == []


def test_a_rewritten_table_is_repaired_and_the_stream_not_blamed(
    settings: Settings, source: psycopg.Connection, warehouse: Client, user: int
) -> None:
    wait_for_equality(source, warehouse, settings)
    reconciled(settings, "users")
    source.execute(
        "ALTER TABLE users ALTER city TYPE text USING CASE WHEN user_id = "
        f"{user} THEN 'Elsewhere' ELSE city END".encode()
    )
    [report] = reconciled(settings, "users").values()
    assert (found(report), report["stream"]) == ((0, 1, 0), "altered")
    assert of_users(warehouse, user, "city") == ("Elsewhere",)
    source.execute("UPDATE users SET city = 'Back' WHERE user_id = %s", [user])
    [report] = reconciled(settings, "users").values()
    assert (found(report), report["stream"] != "altered") == ((0, 0, 0), True)


@pytest.mark.parametrize("text", ["__debezium_unavailable_value", "\\0unavailable"])
def test_a_user_who_is_called_like_a_placeholder_arrives_and_is_erased(
    text: str, settings: Settings, source: psycopg.Connection, warehouse: Client, user: int
) -> None:
    masking = masking_of(settings)
    source.execute("UPDATE users SET name = %s, city = %s WHERE user_id = %s", [text, text, user])
    wanted = (masking.name(text), text)
    wait_until(lambda: of_users(warehouse, user, "name, city") == wanted, "the name has come", SECONDS)
    source.execute("INSERT INTO movies (movie_id, title, genres) VALUES (%s, %s, %s)", [user, text, [text]])
    films = f"SELECT title, genres FROM raw.movies FINAL WHERE movie_id = {user}"
    wanted_film = [(text, [text])]
    wait_until(lambda: warehouse.query(films).result_rows == wanted_film, "the film has come", SECONDS)
    source.execute("DELETE FROM movies WHERE movie_id = %s", [user])
    source.execute("DELETE FROM users WHERE user_id = %s", [user])
    wait_until(lambda: of_users(warehouse, user, "count()") == (0,), "the erasure passes", SECONDS)


def test_a_large_value_that_postgresql_did_not_log_is_refused_and_not_invented(
    settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    film = -secrets.randbelow(1 << 40)
    overview = secrets.token_hex(15_000)
    with altered(
        source, "ALTER TABLE movies REPLICA IDENTITY DEFAULT", "ALTER TABLE movies REPLICA IDENTITY FULL"
    ):
        source.execute(
            "INSERT INTO movies (movie_id, title, overview) VALUES (%s, 'Toast', %s)", [film, overview]
        )
        with reading(settings, DEAD_LETTER_TOPIC) as dead:
            source.execute("UPDATE movies SET release_year = 1999 WHERE movie_id = %s", [film])
            [letter] = letters(read_until(dead, letters, SECONDS))
        assert letter["reason"] == Reason.UNAVAILABLE_VALUE
    reconciled(settings, "movies")
    rows = f"SELECT release_year, overview FROM raw.movies FINAL WHERE movie_id = {film}"
    assert warehouse.query(rows).result_rows == [(1999, overview)]
    source.execute("DELETE FROM movies WHERE movie_id = %s", [film])


def test_a_delete_passes_with_the_default_replica_identity(
    settings: Settings, source: psycopg.Connection, warehouse: Client, user: int
) -> None:
    wait_until(lambda: of_users(warehouse, user, "count()") == (1,), "the user has come", SECONDS)
    with (
        altered(
            source, "ALTER TABLE users REPLICA IDENTITY DEFAULT", "ALTER TABLE users REPLICA IDENTITY FULL"
        ),
        reading(settings, DEAD_LETTER_TOPIC) as dead,
    ):
        source.execute("DELETE FROM users WHERE user_id = %s", [user])
        wait_until(lambda: of_users(warehouse, user, "count()") == (0,), "the user is gone", SECONDS)
        assert letters(dead(0.2)) == []


def test_every_microsecond_from_1900_to_2299_arrives_as_it_was(
    source: psycopg.Connection, warehouse: Client, user: int
) -> None:
    moments = [
        "1900-01-01 00:00:00.000000",
        "1969-12-31 23:59:59.999999",
        "1970-01-01 00:00:00.000001",
        "2038-01-19 03:14:08.000001",
        "2299-12-31 23:59:59.999999",
    ]
    for moment in moments:
        source.execute("UPDATE users SET created_at = %s WHERE user_id = %s", [f"{moment}Z", user])
        wait_until(lambda: of_users(warehouse, user, "toString(created_at)") == (moment,), moment, SECONDS)  # noqa: B023
