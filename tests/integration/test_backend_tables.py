"""Somebody changes the tables under a running API: it says so, and goes on when they are as before.

The API has one process here: each process finds out by itself that its prepared statements are outdated.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.errors import QueryCanceled

from dataflix_contract import Settings
from dataflix_postgres.database import connect_admin
from support.backend import Api, problem, running_backend
from support.waiting import wait_until

SECRET = "Wanda Geheim"


class Change(NamedTuple):
    """A change of the tables, how it is undone, and what the API says meanwhile.

    Attributes:
        reads: the path of which a GET cannot be answered; empty: POST /users cannot.
        told: in the problem's detail.
        ready: what ``/health/ready`` says; empty: that it is ready.
    """

    do: str
    undo: str
    reads: str
    told: str
    ready: str = ""


CHANGES = (
    Change(
        "ALTER TABLE movies RENAME COLUMN overview TO synopsis",
        "ALTER TABLE movies RENAME COLUMN synopsis TO overview",
        "/movies/1",
        "column m.overview does not exist",
        "column movies.overview does not exist",
    ),
    Change(
        "ALTER TABLE users DROP COLUMN city",
        "ALTER TABLE users ADD COLUMN city text",
        "/users/{user}",
        'column "city" does not exist',
        "column users.city does not exist",
    ),
    Change(
        "ALTER TABLE ratings RENAME TO stars",
        "ALTER TABLE stars RENAME TO ratings",
        "/recommendations/{user}",
        'relation "ratings" does not exist',
        'relation "ratings" does not exist',
    ),
    Change(
        "REVOKE SELECT ON movies FROM {role}",
        "GRANT SELECT ON movies TO {role}",
        "/movies?sort=title",
        "permission denied for table movies",
        "permission denied for table movies",
    ),
    Change(
        "ALTER TABLE movies DROP release_year, ADD release_year text",
        "ALTER TABLE movies DROP release_year, ADD release_year smallint",
        "/movies?year_from=1990",
        "operator does not exist: text >= ",
    ),
    Change(
        "ALTER TABLE movies DROP genres, ADD genres text NOT NULL DEFAULT 'x'",
        "ALTER TABLE movies DROP genres, ADD genres text[] NOT NULL DEFAULT '{{}}'",
        "/movies/1",
        "genres of a Movie has another type",
    ),
    Change(
        "ALTER TABLE users DROP birth_year, ADD birth_year date",
        "ALTER TABLE users DROP birth_year, ADD birth_year smallint",
        "",
        'column "birth_year" is of type date',
    ),
    Change(
        "ALTER TABLE users DROP city, ADD city varchar(3)",
        "ALTER TABLE users DROP city, ADD city text",
        "",
        "StringDataRightTruncation",
    ),
    Change(
        "ALTER TABLE users ADD phone text, ADD CONSTRAINT has_phone CHECK (phone IS NOT NULL) NOT VALID",
        "ALTER TABLE users DROP phone",
        "",
        "CheckViolation at users.has_phone",
    ),
    Change(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not %', NEW.name; END $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP FUNCTION refuse CASCADE",
        "",
        "RaiseException",
    ),
)


@contextmanager
def changed(connection: psycopg.Connection, change: Change, role: str) -> Iterator[None]:
    """The tables with this change."""

    def execute(statement: str) -> None:
        connection.execute(sql.SQL(statement).format(role=sql.Identifier(role)))

    execute(change.do)
    try:
        yield
    finally:
        execute(change.undo)


def test_a_changed_table_is_no_fault_of_the_server_s_and_heals_without_a_restart(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute("INSERT INTO movies (movie_id, title, release_year) VALUES (1, 'Heat', 1995)")
    with running_backend(migrated, tmp_path, backend_workers="1") as backend:
        api = Api(backend.settings.backend_url)
        user = api.new_user()

        def ask(reads: str) -> httpx.Response:
            if reads:
                return api.http.get(reads.format(user=user))
            body: dict[str, Any] = {"name": SECRET, "email": f"{uuid4().hex}@example.org"}
            return api.http.post("/users", json=body | {"birth_year": 1980, "city": "Berlin"})

        for change in CHANGES:
            for _ in range(30):  # so that each connection has prepared the statement
                assert ask(change.reads).is_success
            with changed(empty, change, migrated.postgres_api_user):
                # the first one may meet a statement that was prepared before
                wait_until(
                    lambda: change.told in ask(change.reads).json().get("detail", ""),  # noqa: B023
                    change.told,
                )
                for _ in range(6):
                    answer = ask(change.reads)
                    assert "bin/dataflix-migrate" in problem(answer, 503)["detail"]
                    assert SECRET not in answer.text
                    assert int(answer.headers["Retry-After"]) >= 1
                ready = api.http.get("/health/ready")
                assert ready.status_code == (503 if change.ready else 200), ready.text
                assert change.ready in "; ".join(ready.json()["faults"])
                problem(api.http.get("/health"), 503) if change.ready else Api.ok(api.http.get("/health"))
            statuses = [ask(change.reads).status_code for _ in range(30)]
            assert set(statuses) <= {200, 201, 503}, (change, statuses)
            assert set(statuses[-10:]) <= {200, 201}, (change, statuses)
            wait_until(lambda: api.http.get("/health/ready").is_success, "it is ready again")


DISCARD = "CREATE TRIGGER discard BEFORE {deed} ON {table} FOR EACH ROW EXECUTE FUNCTION discard()"


def test_a_row_that_the_database_discards_is_refused_with_a_reason(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute("INSERT INTO movies (movie_id, title) VALUES (1, 'Heat'), (2, 'Ronin')")
    empty.execute("CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    with running_backend(migrated, tmp_path, backend_workers="1") as backend:
        api = Api(backend.settings.backend_url)
        user = api.new_user()
        api.post("/ratings", user_id=user, movie_id=1, rating=4)
        person = {"name": SECRET, "email": "wanda@example.org"}
        for table, deed, method, path, body in (
            ("users", "INSERT", "POST", "/users", person),
            ("watched_movies", "INSERT", "POST", "/watched", {"user_id": user, "movie_id": 2}),
            ("dismissed_movies", "INSERT", "POST", "/dismissed", {"user_id": user, "movie_id": 2}),
            ("ratings", "INSERT", "POST", "/ratings", {"user_id": user, "movie_id": 2, "rating": 4}),
            ("ratings", "UPDATE", "POST", "/ratings", {"user_id": user, "movie_id": 1, "rating": 2}),
            ("ratings", "DELETE", "DELETE", f"/ratings/{user}/1", None),
            ("watched_movies", "DELETE", "DELETE", f"/watched/{user}/1", None),
            ("dismissed_movies", "DELETE", "DELETE", f"/dismissed/{user}/2", None),
            ("users", "DELETE", "DELETE", f"/users/{user}", None),
        ):
            empty.execute(DISCARD.format(deed=deed, table=table).encode())
            refused = problem(api.http.request(method, path, json=body), 503)
            store = "delete" if deed == "DELETE" else "store"
            assert refused["detail"].startswith(f"the database did not {store} a row of {table} and gave no")
            assert f"\\d {table} in psql" in refused["detail"]
            empty.execute(f"DROP TRIGGER discard ON {table}".encode())
            api.ok(api.http.get("/health"))
            assert api.http.request(method, path, json=body).is_success
        problem(api.http.delete(f"/users/{user}"), 404)


def test_a_locked_table_is_named_with_who_has_locked_it(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    with running_backend(migrated, tmp_path, backend_workers="1") as backend:
        api = Api(backend.settings.backend_url)
        wait_until(lambda: api.http.get("/health").is_success, "it is ready")
        with empty.transaction():
            empty.execute("LOCK TABLE movies")
            told = problem(api.http.get("/health"), 503)["detail"]
        assert "the table movies is locked by PostgreSQL's process" in told
        assert f"pg_terminate_backend({empty.info.backend_pid})" in told
        assert "does not answer" not in told
        # a reader is in nobody's way, but whoever waits for it to lock the table is
        with empty.transaction(), psycopg.connect(empty.info.dsn, password=empty.info.password) as second:
            empty.execute("TABLE movies")
            second.execute("SET lock_timeout = '30s'")
            with ThreadPoolExecutor(1) as waiting:
                done = waiting.submit(second.execute, "LOCK TABLE movies")
                wait_until(lambda: api.http.get("/health").status_code == 503, "it is said")
                told = problem(api.http.get("/health"), 503)["detail"]
                second.cancel()
                with pytest.raises(QueryCanceled):
                    done.result()
        assert f"pg_terminate_backend({empty.info.backend_pid})" in told
        api.ok(api.http.get("/health"))


def test_sessions_without_foreign_keys_are_a_warning(migrated: Settings, tmp_path: Path) -> None:
    with connect_admin(migrated) as admin:
        name = sql.Identifier(migrated.postgres_db)
        admin.execute(sql.SQL("ALTER DATABASE {} SET session_replication_role = replica").format(name))
    with running_backend(migrated, tmp_path, backend_workers="1") as backend:
        api = Api(backend.settings.backend_url)
        wait_until(lambda: api.http.get("/health").is_success, "it is ready")
        assert "triggers and foreign keys are off" in str(api.get("/health")["warnings"])


def test_a_column_of_another_type_is_a_warning_where_it_can_be_read(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute("INSERT INTO movies (movie_id, title, release_year) VALUES (1, 'Heat', 1995)")
    with running_backend(migrated, tmp_path, backend_workers="1") as backend:
        api = Api(backend.settings.backend_url)
        for kind in ("integer", "bigint", "smallint"):
            for _ in range(30):
                assert api.get("/movies/1")["release_year"] == 1995
            empty.execute(f"ALTER TABLE movies ALTER release_year TYPE {kind}")
            answers = [api.http.get("/movies/1") for _ in range(30)]
            assert {answer.status_code for answer in answers} <= {200, 503}
            assert {answer.status_code for answer in answers[-20:]} == {200}
            told = str(api.get("/health/ready")["warnings"])
            assert ("movies.release_year is not of the type smallint" in told) == (kind != "smallint")
        empty.execute("CREATE DOMAIN label AS varchar(300)")
        empty.execute("ALTER TABLE movies ALTER title TYPE label, ALTER genres TYPE varchar(80)[]")
        empty.execute("ALTER TABLE users ALTER city TYPE char(80)")
        assert "is not of the type" not in str(api.get("/health/ready")["warnings"])
