"""The films that a running backend recommends are PostgreSQL's, however these were changed; and nobody who
changes a film waits for whoever changes another one."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dataflix_backend import idempotency
from dataflix_backend.database import Pool, make_pool
from dataflix_backend.recommendations.catalogue import Catalogue, catalogue_version
from dataflix_contract import Settings
from dataflix_postgres.database import connect_owner
from support.backend import Api, problem, running_backend
from support.waiting import wait_until

FILMS = "INSERT INTO movies (movie_id, title) SELECT n, 'Film ' || n FROM generate_series(1, %s) AS n"


@pytest.fixture
def pool(migrated: Settings) -> Iterator[Pool]:
    with make_pool(migrated) as pool:
        yield pool


def restore(settings: Settings, *statements: str) -> None:
    """Change rows as pg_restore, and the worker of a subscription, change them: no trigger fires."""
    admin = settings.model_copy(update={"postgres_user": settings.postgres_admin_user})
    admin = admin.model_copy(update={"postgres_password": settings.postgres_admin_password})
    with connect_owner(admin) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_films_are_followed_where_no_trigger_fires(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute(FILMS, [6])
    with running_backend(migrated, tmp_path) as backend:
        api = Api(backend.settings.backend_url)
        user = api.new_user()

        def shown() -> set[str]:
            """The titles that each of several connections, and so each process, is recommended."""
            replies = [api.get(f"/recommendations/{user}", n=100) for _ in range(6)]
            titles = [frozenset(one["title"] for one in reply["items"]) for reply in replies]
            return set(titles[0]) if len(set(titles)) == 1 else {"different ones"}

        def arrives(*titles: str) -> None:
            wait_until(lambda: shown() == set(titles), f"{titles} are recommended, and nothing else")

        arrives(*(f"Film {n}" for n in range(1, 7)))
        restore(
            migrated,
            "SET session_replication_role = replica",
            "UPDATE movies SET title = 'Renamed' WHERE movie_id = 1",
            "DELETE FROM movies WHERE movie_id > 2",
        )
        arrives("Renamed", "Film 2")
        restore(
            migrated,
            "ALTER TABLE movies DISABLE TRIGGER ALL",
            "UPDATE movies SET movie_id = 3, title = 'Moved' WHERE movie_id = 2",
            "ALTER TABLE movies ENABLE TRIGGER ALL",
        )
        arrives("Renamed", "Moved")
        restore(
            migrated, "SET session_replication_role = replica", "TRUNCATE movies CASCADE", "COMMIT", FILMS % 6
        )
        arrives(*(f"Film {n}" for n in range(1, 7)))


def test_a_film_that_is_gone_is_in_no_reply_not_even_in_the_next_one(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute(FILMS, [60])
    with running_backend(migrated, tmp_path) as backend:
        api = Api(backend.settings.backend_url)
        user = api.new_user()
        path = f"/recommendations/{user}"

        def shown() -> list[int]:
            return [item["movie_id"] for item in api.get(path, n=10)["items"]]

        for _ in range(15):
            tags = {api.http.get(path, params={"n": 10}).headers["ETag"] for _ in range(4)}
            first, *others = shown()
            restore(
                migrated,
                "SET session_replication_role = replica",
                f"DELETE FROM movies WHERE movie_id = {first}",
            )
            after = shown()
            assert first not in after
            assert (after[:9], len(after)) == (others, 10)
            for tag in tags:  # nor is a reply that names it still good
                again = api.http.get(path, params={"n": 10}, headers={"If-None-Match": tag})
                assert again.status_code == 200
            problem(api.http.get(f"/movies/{first}/similar"), 404)


def test_films_like_one_that_is_new_are_asked_for_at_once(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    with running_backend(migrated, tmp_path) as backend:
        api = Api(backend.settings.backend_url)
        for new in range(20):  # each process learns of it by itself, in its own time
            empty.execute("INSERT INTO movies (movie_id, title) VALUES (%s, 'New')", [new])
            assert api.get(f"/movies/{new}/similar") == {"items": [], "model": None}


def test_what_somebody_did_with_films_that_are_gone_ends_no_list(
    migrated: Settings, empty: psycopg.Connection, tmp_path: Path
) -> None:
    empty.execute(FILMS, [9])
    with running_backend(migrated, tmp_path) as backend:
        api = Api(backend.settings.backend_url)
        user = api.new_user()
        for film in range(1, 10):
            api.post("/ratings", user_id=user, movie_id=film, rating=4)
        restore(
            migrated,
            "SET session_replication_role = replica",
            "DELETE FROM movies WHERE movie_id IN (1, 4, 5, 9)",
        )
        for path in (f"/users/{user}/ratings", f"/users/{user}/watched"):
            for limit in (1, 2, 5):
                found = api.pages(path, limit=limit)
                assert {one["movie"]["movie_id"] for one in found} == {2, 3, 6, 7, 8}


def test_a_change_is_seen_when_it_is_committed_and_not_before(
    migrated: Settings, empty: psycopg.Connection, pool: Pool
) -> None:
    empty.execute(FILMS, [6])
    catalogue = Catalogue()
    with pool.connection() as reader, connect_owner(migrated) as writer:
        before = catalogue.films(reader)
        writer.execute("UPDATE movies SET genres = '{Drama}' WHERE movie_id = 4")
        assert catalogue_version(reader) == before.version
        writer.commit()
        wait_until(lambda: catalogue.films(reader) is not before, "the change is seen")
        changed = catalogue.films(reader)
        assert changed.by_id[4]["genres"] == ["Drama"]
        writer.execute("UPDATE movies SET overview = 'Nothing that is kept in memory.'")
        writer.commit()
        assert catalogue_version(reader) == changed.version
        writer.execute("UPDATE movies SET genres = '{}' WHERE movie_id = 4")
        writer.commit()
        assert catalogue_version(reader) == before.version, "equal films, the same tag"


def test_who_changes_a_film_waits_for_nobody_who_changes_another_one(
    migrated: Settings, empty: psycopg.Connection
) -> None:
    empty.execute(FILMS, [6])
    rename = "UPDATE movies SET title = title || '!' WHERE movie_id = %s"
    with connect_owner(migrated) as one, connect_owner(migrated) as other:
        for connection in (one, other):
            connection.execute("SET lock_timeout = '5s'")
        one.execute(rename, [1])
        other.execute(rename, [2])
        other.execute("INSERT INTO movies (movie_id, title) VALUES (7, 'New')")
        other.execute("DELETE FROM movies WHERE movie_id = 6")
        one.execute(rename, [3])
        other.commit()
        one.commit()
    assert empty.execute("SELECT count(*) FROM movies WHERE title LIKE '%!'").fetchone() == (3,)


def test_no_request_waits_for_a_key_that_somebody_else_holds(
    migrated: Settings, empty: psycopg.Connection, pool: Pool
) -> None:
    empty.execute(
        "INSERT INTO idempotency_keys (key_digest, request_digest, created_at)"
        " VALUES ('held', '', now() - interval '2 days'), ('free', '', now() - interval '2 days')"
    )
    with connect_owner(migrated) as holder, pool.connection() as api:
        holder.execute("DELETE FROM idempotency_keys WHERE key_digest = 'held'")
        assert api.execute(idempotency._FORGET.encode()).rowcount == 1
        holder.rollback()
