"""What the tables take and refuse."""

import time
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors


@pytest.fixture
def source_rows(empty: psycopg.Connection) -> psycopg.Connection:
    """One user who watched and rated one of two films."""
    empty.execute("INSERT INTO users (user_id, name, email) VALUES (1, 'Ada', 'Ada@example.com')")
    empty.execute("INSERT INTO movies (movie_id, title) VALUES (1, 'Heat'), (2, 'Alien')")
    empty.execute("INSERT INTO watched_movies (user_id, movie_id) VALUES (1, 1)")
    empty.execute("INSERT INTO ratings (user_id, movie_id, rating) VALUES (1, 1, 4.5)")
    empty.execute("INSERT INTO dismissed_movies (user_id, movie_id) VALUES (1, 2)")
    return empty


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE ratings SET rating = 0.3", errors.CheckViolation),
        ("UPDATE ratings SET rating = 0", errors.CheckViolation),
        ("UPDATE ratings SET rating = 5.5", errors.CheckViolation),
        ("UPDATE ratings SET rating = 'NaN'", errors.CheckViolation),
        ("UPDATE ratings SET rating = 10", errors.NumericValueOutOfRange),
        ("UPDATE ratings SET rating = NULL", errors.NotNullViolation),
        ("INSERT INTO ratings (user_id, movie_id, rating) VALUES (1, 2, 4)", errors.ForeignKeyViolation),
        ("INSERT INTO ratings (user_id, movie_id, rating) VALUES (1, 1, 4)", errors.UniqueViolation),
        ("INSERT INTO watched_movies (user_id, movie_id) VALUES (1, 3)", errors.ForeignKeyViolation),
        ("INSERT INTO watched_movies (user_id, movie_id) VALUES (2, 1)", errors.ForeignKeyViolation),
        ("INSERT INTO dismissed_movies (user_id, movie_id) VALUES (1, 3)", errors.ForeignKeyViolation),
        ("INSERT INTO dismissed_movies (user_id, movie_id) VALUES (2, 1)", errors.ForeignKeyViolation),
        ("INSERT INTO dismissed_movies (user_id, movie_id) VALUES (1, 2)", errors.UniqueViolation),
        ("UPDATE dismissed_movies SET dismissed_at = 'infinity'", errors.CheckViolation),
        ("INSERT INTO users (email) VALUES ('Ada@example.com')", errors.UniqueViolation),
        ("INSERT INTO users (email) VALUES ('ADA@example.com')", errors.UniqueViolation),
        ("UPDATE users SET birth_year = 1066", errors.CheckViolation),
        ("UPDATE users SET created_at = 'infinity'", errors.CheckViolation),
        ("UPDATE users SET created_at = '1899-12-31 23:59:59Z'", errors.CheckViolation),
        ("UPDATE movies SET created_at = '2300-01-01Z'", errors.CheckViolation),
        ("UPDATE watched_movies SET watched_at = '-infinity'", errors.CheckViolation),
        ("UPDATE ratings SET rated_at = 'infinity'", errors.CheckViolation),
        ("UPDATE movies SET title = ' '", errors.CheckViolation),
        ("UPDATE movies SET title = NULL", errors.NotNullViolation),
        ("UPDATE movies SET release_year = 1492", errors.CheckViolation),
        ("UPDATE movies SET genres = NULL", errors.NotNullViolation),
        ("UPDATE movies SET genres = '{Drama,NULL}'", errors.CheckViolation),
        ("UPDATE movies SET genres = '{{Drama},{War}}'", errors.DatabaseError),
        ("UPDATE users SET name = repeat('x', 32769)", errors.CheckViolation),
        ("UPDATE users SET email = repeat('x', 32769)", errors.CheckViolation),
        ("UPDATE users SET city = repeat('x', 1025)", errors.CheckViolation),
        ("UPDATE movies SET title = repeat('x', 8193)", errors.CheckViolation),
        ("UPDATE movies SET overview = repeat('x', 32769)", errors.CheckViolation),
        ("UPDATE movies SET genres = array_fill('x'::text, ARRAY[8193])", errors.CheckViolation),
    ],
)
def test_refused(source_rows: psycopg.Connection, statement: str, error: type[psycopg.Error]) -> None:
    with pytest.raises(error):
        source_rows.execute(statement)


@pytest.mark.parametrize("stars", [half / 2 for half in range(1, 11)])
def test_every_half_is_taken(source_rows: psycopg.Connection, stars: float) -> None:
    source_rows.execute("UPDATE ratings SET rating = %s", [stars])
    assert source_rows.execute("SELECT rating::float8 FROM ratings").fetchone() == (stars,)


def test_odd_names_and_long_addresses_are_taken(empty: psycopg.Connection) -> None:
    long = "".join(chr(0x4E00 + number) for number in range(10_240))  # does not compress
    for value in (None, "", 'O\'Neil "Ödön" \\ 🎬\n', long):
        empty.execute("INSERT INTO users (name, email) VALUES (%s, %s)", [value, value])
    with pytest.raises(errors.UniqueViolation):
        empty.execute("INSERT INTO users (email) VALUES (%s)", [long])
    empty.execute("INSERT INTO users (name, email) VALUES (NULL, NULL)")


def test_the_bounds_of_time_are_taken(empty: psycopg.Connection) -> None:
    for moment in ("1900-01-01 00:00:00Z", "2299-12-31 23:59:59.999999Z"):
        empty.execute("INSERT INTO users (created_at, updated_at) VALUES (%s, %s)", [moment, moment])


def test_erasing_a_user_erases_what_they_did(source_rows: psycopg.Connection) -> None:
    source_rows.execute("DELETE FROM users")
    assert source_rows.execute("SELECT count(*) FROM watched_movies").fetchone() == (0,)
    assert source_rows.execute("SELECT count(*) FROM ratings").fetchone() == (0,)


def test_keys_can_change_and_children_follow(source_rows: psycopg.Connection) -> None:
    source_rows.execute("UPDATE users SET user_id = 77")
    source_rows.execute("UPDATE movies SET movie_id = 99 WHERE movie_id = 1")
    assert source_rows.execute("SELECT user_id, movie_id FROM ratings").fetchall() == [(77, 99)]


def test_updated_at_moves_with_changes_only(source_rows: psycopg.Connection) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    source_rows.execute("INSERT INTO users (user_id, updated_at) VALUES (5, %s)", [past])
    moment = "SELECT updated_at FROM users WHERE user_id = 5"
    assert source_rows.execute(moment).fetchone() == (past,)
    source_rows.execute("UPDATE users SET name = name WHERE user_id = 5")
    assert source_rows.execute(moment).fetchone() == (past,)
    source_rows.execute("UPDATE users SET name = 'Bea' WHERE user_id = 5")
    changed = source_rows.execute(moment).fetchone()
    assert changed is not None
    assert changed[0] > past


def test_titles_are_searched_by_index(empty: psycopg.Connection) -> None:
    empty.execute("INSERT INTO movies (title) SELECT 'Film ' || n FROM generate_series(1, 20000) AS n")
    empty.execute("ANALYZE movies")
    plan = empty.execute("EXPLAIN SELECT * FROM movies WHERE title ILIKE '%alien%'").fetchall()
    assert "movies_title_idx" in str(plan)


def test_half_a_million_rows_in_one_statement_are_quick(empty: psycopg.Connection) -> None:
    started = time.monotonic()
    empty.execute(
        "INSERT INTO users (name, email)"
        " SELECT 'Name ' || n, 'u' || n || '@example.com' FROM generate_series(1, 500000) AS n"
    )
    # no index makes it quadratic; the machine may be busy
    assert time.monotonic() - started < 300
