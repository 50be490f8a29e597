"""Every id that PostgreSQL takes works over the API, and generated ones pass over those that are taken."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from dataflix_contract import Settings
from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_postgres.database import advance_identities
from support.backend import Api, problem, running_backend
from support.waiting import wait_until

IDS = [LEAST_ID, -5, 0, 1, MOST_ID]
USERS = (
    "INSERT INTO users (user_id, name, email)"
    " SELECT n, 'User ' || n, n || '@example.org' FROM unnest(%s::bigint[]) AS n"
)
FILMS = "INSERT INTO movies (movie_id, title) SELECT n, 'Film ' || n FROM unnest(%s::bigint[]) AS n"


@pytest.fixture
def api(migrated: Settings, tmp_path: Path) -> Iterator[Api]:
    """The API on a database of the test's own."""
    with running_backend(migrated, tmp_path) as backend:
        yield Api(backend.settings.backend_url)


def wait_recommended(api: Api, user_id: int, wanted: list[int]) -> None:
    """Wait: each of the API's processes learns of new films by itself, and the next one may answer."""

    def recommended() -> bool:
        return [one["movie_id"] for one in api.get(f"/recommendations/{user_id}")["items"]] == wanted

    wait_until(recommended, f"user {user_id} is recommended {wanted}")


def test_every_id_that_postgresql_takes_works_everywhere(api: Api, empty: psycopg.Connection) -> None:
    empty.execute(USERS, [IDS])
    empty.execute(FILMS, [IDS])
    wait_until(lambda: api.get(f"/recommendations/{IDS[0]}")["items"], "the films are known")
    assert [one["user_id"] for one in api.pages("/users", limit=2)] == IDS
    assert [one["user_id"] for one in api.pages("/users", name="User", limit=2)] == IDS
    assert sorted(one["movie_id"] for one in api.pages("/movies", limit=2)) == IDS
    for user_id in IDS:
        for movie_id in IDS:
            assert api.get(f"/movies/{movie_id}")["movie_id"] == movie_id
            api.post("/watched", user_id=user_id, movie_id=movie_id)
        empty.execute("UPDATE watched_movies SET watched_at = '2020-01-01Z' WHERE user_id = %s", [user_id])
        watched = api.pages(f"/users/{user_id}/watched", limit=2)
        assert [one["movie"]["movie_id"] for one in watched] == IDS
        for movie_id in IDS[:-1]:
            api.post("/ratings", user_id=user_id, movie_id=movie_id, rating=4)
        api.delete(f"/ratings/{user_id}/{IDS[0]}")
        api.delete(f"/watched/{user_id}/{IDS[-1]}")
        assert len(api.pages(f"/users/{user_id}/ratings", limit=1)) == len(IDS) - 2
        wait_recommended(api, user_id, [IDS[-1]])
        assert api.get(f"/movies/{user_id}/similar")["items"] == []
        api.delete(f"/users/{user_id}")
        problem(api.http.get(f"/users/{user_id}"), 404)
    for path in ("/users/{}", "/movies/{}", "/recommendations/{}", "/movies/{}/similar"):
        for beyond in (LEAST_ID - 1, MOST_ID + 1, 10**30, "9" * 4000, "-", "--1", "1.0"):
            problem(api.http.get(path.format(beyond)), 404)
    for beyond in (LEAST_ID - 1, MOST_ID + 1, 10**30):
        body = {"user_id": beyond, "movie_id": beyond, "rating": 4}
        assert set(problem(api.http.post("/ratings", json=body), 422)["errors"]["json"]) == {
            "user_id",
            "movie_id",
        }


def test_a_taken_id_is_no_taken_address(api: Api, empty: psycopg.Connection) -> None:
    empty.execute("CREATE UNIQUE INDEX one_of_each_city ON users (city)")
    empty.execute(USERS, [[-7, *range(1, 300), 2**53 - 1, 2**60, MOST_ID]])
    taken = {row[0] for row in empty.execute("SELECT user_id FROM users")}
    with ThreadPoolExecutor(8) as clients:  # several at once, all of whom meet taken ids
        made = list(clients.map(lambda _: api.new_user(), range(24)))
    assert len(set(made)) == len(made)
    assert not taken & set(made)
    assert 300 <= min(made) <= max(made) < 1000, "taken ids that are far away are left there"
    refused = problem(api.http.post("/users", json={"name": "A", "email": "1@example.org"}), 409)
    assert "another user has this e-mail address" in refused["detail"]
    api.new_user(city="Bonn")
    other = {"name": "A", "email": f"{secrets.token_hex(8)}@example.org", "city": "Bonn"}
    refused = problem(api.http.post("/users", json=other), 409)
    assert "one_of_each_city" in refused["detail"]
    assert "e-mail" not in refused["detail"]


def test_sequences_pass_over_taken_ids_and_never_go_back(empty: psycopg.Connection) -> None:
    def next_ids() -> tuple[int, int]:
        with empty.transaction(force_rollback=True):
            (user,) = empty.execute("INSERT INTO users DEFAULT VALUES RETURNING user_id").fetchall()
            (film,) = empty.execute("INSERT INTO movies (title) VALUES ('New') RETURNING movie_id").fetchall()
        return user[0], film[0]

    advance_identities(empty)
    assert next_ids() == (1, 1)
    empty.execute(USERS, [[-7, 0, 50, 2**53 - 1, 2**53, MOST_ID]])
    empty.execute(FILMS, [[7, 2**53 - 1]])
    advance_identities(empty)
    assert next_ids() == (51, 8)
    empty.execute("DELETE FROM users WHERE user_id = 50")
    advance_identities(empty)
    assert next_ids() == (52, 9)
    empty.execute("ALTER SEQUENCE users_user_id_seq RESTART WITH 1000")
    empty.execute(USERS, [[999]])
    advance_identities(empty)
    assert next_ids() == (1000, 10)
    empty.execute("ALTER SEQUENCE users_user_id_seq RESTART WITH 999")
    advance_identities(empty)
    assert next_ids() == (1000, 11)
