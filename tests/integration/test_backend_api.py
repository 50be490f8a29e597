"""The API: each route, and what it says to whom."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from support.backend import Api, problem
from support.champion import from_all
from support.waiting import wait_until

NOBODY, NOTHING = 2**62, 2**63 - 1


@pytest.fixture
def api(settings: Settings) -> Api:
    return Api(settings.backend_url)


@pytest.fixture
def user(api: Api) -> int:
    return api.new_user()


def test_a_user_is_made_and_shown(api: Api, source: psycopg.Connection) -> None:
    email = f"{uuid4().hex}@Example.org"
    sent = {"name": "Ada Lövelace", "email": email, "birth_year": 1985, "city": "London", "state": None}
    answer = api.http.post("/users", json=sent)
    user = api.ok(answer, 201)
    assert {name: user[name] for name in sent} == sent
    assert answer.headers["Location"] == f"/users/{user['user_id']}"
    assert api.get(answer.headers["Location"]) == user
    age = datetime.now(UTC) - datetime.fromisoformat(user["created_at"])
    assert abs(age.total_seconds()) < 60
    assert user["created_at"].endswith("Z")
    row = source.execute("SELECT name, city FROM users WHERE email = %s", [email]).fetchone()
    assert row == ("Ada Lövelace", "London")


def test_an_address_is_taken_once(api: Api) -> None:
    email = f"{uuid4().hex}@example.org"
    api.new_user(email=email)
    answer = api.http.post("/users", json={"name": "Another", "email": email.upper()})
    assert "another user has this e-mail address" in problem(answer, 409)["detail"]
    assert email not in answer.text


def test_users_are_found_by_a_part_of_the_name(api: Api) -> None:
    tag = uuid4().hex
    made = [api.new_user(name=f"Åsa {tag} 100%_{number}") for number in range(5)]
    api.new_user(name=f"Åsa {tag} 1000")
    found = api.pages("/users", name=f"{tag.upper()} 100%_", limit=2)
    assert [one["user_id"] for one in found] == made
    assert {"user_id": made[0], "name": f"Åsa {tag} 100%_0"} == found[0]
    assert api.get("/users", limit=1)["next"]


def test_films_are_listed_by_title(api: Api, source: psycopg.Connection) -> None:
    films = api.pages("/movies", limit=100)
    titles = [(film["title"].lower(), film["movie_id"]) for film in films]
    assert titles == sorted(titles)
    assert len(films) == source.execute("SELECT count(*) FROM movies").fetchall()[0][0]
    assert {film["movie_id"] for film in api.pages("/movies", limit=37)} == {key for _, key in titles}


@pytest.mark.parametrize("sort", ["year", "popular", "rating"])
def test_films_are_sorted_and_each_page_goes_on(api: Api, sort: str) -> None:
    films = api.pages("/movies", sort=sort, genre="drama", limit=11)
    assert len({film["movie_id"] for film in films}) == len(films) > 100
    keys = {
        "year": lambda film: -film["release_year"],
        "popular": lambda film: -film["rating_count"],
        "rating": lambda film: (
            -((film["rating_count"] * (film["rating_mean"] or 0) + 30) / (film["rating_count"] + 10))
        ),
    }
    places = [(keys[sort](film), film["movie_id"]) for film in films]
    if sort == "rating":  # the means in replies are rounded: near equals may look the other way round
        assert all(first[0] <= second[0] + 0.001 for first, second in pairwise(places))
    else:
        assert places == sorted(places)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("matrx", "The Matrix"),
        ("godfater", "The Godfather"),
        ("schindlers lst", "Schindler's List"),
        ("leon profesional", "Léon: The Professional"),
        ("oppenhiemer", "Oppenheimer"),
        ("amelie", "Amélie"),
        ("TOY STORY", "Toy Story"),
    ],
)
def test_typos_are_forgiven(api: Api, typed: str, meant: str) -> None:
    assert api.get("/movies", q=typed)["items"][0]["title"] == meant


def test_a_search_in_pages_is_the_search(api: Api) -> None:
    whole = api.get("/movies", q="the", limit=100)["items"]
    assert len(whole) > 20
    assert api.pages("/movies", q="the", limit=7)[: len(whole)] == whole


def test_films_are_filtered(api: Api) -> None:
    films = api.pages("/movies", genre="sci-fi", year_from=1980, year_to=1989, limit=50)
    assert films
    for film in films:
        assert "Sci-Fi" in film["genres"]
        assert 1980 <= film["release_year"] <= 1989
    assert api.get("/movies", genre="Sci", limit=1) == {"items": [], "next": None}
    assert api.get("/movies", q="!!!") == {"items": [], "next": None}


def test_a_cursor_is_good_for_its_query_only(api: Api) -> None:
    cursor = api.get("/movies", q="the", limit=1)["next"]
    for query in ({"q": "a"}, {"q": "the", "sort": "title"}, {"q": "the", "genre": "Drama"}, {}):
        answer = api.http.get("/movies", params={**query, "cursor": cursor})
        assert "another query" in problem(answer, 422)["errors"]["query"]["cursor"][0]


def test_pages_go_on_when_films_come_and_go(api: Api, source: psycopg.Connection) -> None:
    made = [
        source.execute("INSERT INTO movies (title) VALUES (%s) RETURNING movie_id", [f"Zzz ties {tie}"])
        for tie in (1, 2, 2, 2, 2, 3)
    ]
    keys = [row for cursor in made for (row,) in cursor.fetchall()]
    try:
        first = api.get("/movies", q="Zzz ties", sort="title", limit=3)
        assert [film["movie_id"] for film in first["items"]] == keys[:3]
        source.execute("DELETE FROM movies WHERE movie_id = ANY(%s)", [keys[:3]])
        rest = api.get("/movies", q="Zzz ties", sort="title", limit=3, cursor=first["next"])
        assert [film["movie_id"] for film in rest["items"]] == keys[3:]
        assert rest["next"] is None
    finally:
        source.execute("DELETE FROM movies WHERE movie_id = ANY(%s)", [keys])


def test_a_film_shows_what_users_think_right_now(api: Api, source: psycopg.Connection) -> None:
    row = source.execute("INSERT INTO movies (title) VALUES ('Fresh') RETURNING movie_id").fetchone()
    assert row
    (movie,) = row
    try:
        film = api.get(f"/movies/{movie}")
        assert film == {
            "movie_id": movie,
            "title": "Fresh",
            "release_year": None,
            "genres": [],
            "overview": None,
            "rating_count": 0,
            "rating_mean": None,
        }
        for stars in (3.5, 5):
            api.post("/ratings", user_id=api.new_user(), movie_id=movie, rating=stars)
        film = api.get(f"/movies/{movie}")
        assert (film["rating_count"], film["rating_mean"]) == (2, 4.25)
    finally:
        source.execute("DELETE FROM movies WHERE movie_id = %s", [movie])


def test_genres_are_counted(api: Api, source: psycopg.Connection) -> None:
    items = api.get("/genres")["items"]
    counted = source.execute("SELECT count(*) FROM movies WHERE 'Drama' = ANY(genres)").fetchall()[0][0]
    assert {"genre": "Drama", "movies": counted} in items
    assert [one["movies"] for one in items] == sorted((one["movies"] for one in items), reverse=True)


def test_a_rating_marks_as_watched(api: Api, user: int, source: psycopg.Connection) -> None:
    rating = api.post("/ratings", user_id=user, movie_id=1, rating=4.5)
    assert (rating["rating"], rating["watched"]) == (4.5, "now")
    rows = source.execute(
        "SELECT w.xmin = r.xmin, watched_at = rated_at FROM watched_movies w JOIN ratings r"
        " USING (user_id, movie_id) WHERE user_id = %s",
        [user],
    ).fetchall()
    assert rows == [(True, True)], "one transaction made both"
    changed = api.post("/ratings", 200, user_id=user, movie_id=1, rating=0.5)
    assert (changed["rating"], changed["watched"]) == (0.5, "already")
    assert changed["rated_at"] == rating["rated_at"]
    assert changed["updated_at"] > rating["updated_at"]
    assert api.post("/ratings", 200, user_id=user, movie_id=1, rating=0.5) == changed
    api.post("/watched", user_id=user, movie_id=2)
    assert api.post("/ratings", user_id=user, movie_id=2, rating=3)["watched"] == "already"


def test_watching_is_marked_once_and_taken_back(api: Api, user: int) -> None:
    watched = api.post("/watched", user_id=user, movie_id=1)
    assert api.post("/watched", 200, user_id=user, movie_id=1) == watched
    api.post("/ratings", user_id=user, movie_id=1, rating=4)
    api.delete(f"/watched/{user}/1")
    assert api.get(f"/users/{user}/ratings")["items"] == []
    assert "has not watched" in problem(api.http.delete(f"/watched/{user}/1"), 404)["detail"]


def test_dismissing_is_done_once_and_taken_back(api: Api, user: int) -> None:
    dismissed = api.post("/dismissed", key="of-no-interest", user_id=user, movie_id=1)
    assert (dismissed["user_id"], dismissed["movie_id"]) == (user, 1)
    assert api.post("/dismissed", key="of-no-interest", user_id=user, movie_id=1) == dismissed
    assert api.post("/dismissed", 200, user_id=user, movie_id=1) == dismissed
    api.post("/ratings", user_id=user, movie_id=1, rating=4)
    api.delete(f"/watched/{user}/1")
    (item,) = api.get(f"/users/{user}/dismissed")["items"]
    assert item == {"movie": api.get("/movies/1"), "dismissed_at": dismissed["dismissed_at"]}
    api.delete(f"/dismissed/{user}/1")
    assert api.get(f"/users/{user}/dismissed")["items"] == []
    assert "has not dismissed" in problem(api.http.delete(f"/dismissed/{user}/1"), 404)["detail"]


def test_a_rating_is_deleted_and_the_film_stays_watched(api: Api, user: int) -> None:
    api.post("/ratings", user_id=user, movie_id=1, rating=4)
    api.delete(f"/ratings/{user}/1")
    (item,) = api.get(f"/users/{user}/watched")["items"]
    assert (item["movie"]["movie_id"], item["rating"]) == (1, None)
    assert "has not rated" in problem(api.http.delete(f"/ratings/{user}/1"), 404)["detail"]


def test_a_users_lists_show_the_newest_first(api: Api, user: int, source: psycopg.Connection) -> None:
    for movie in range(1, 8):
        api.post("/ratings", user_id=user, movie_id=movie, rating=movie / 2)
        api.post("/dismissed", user_id=user, movie_id=movie)
    # moments that several films share: pages must not lose or double any
    source.execute(
        "UPDATE watched_movies SET watched_at = '2026-01-01Z' WHERE user_id = %s AND movie_id > 2", [user]
    )
    source.execute(
        "UPDATE dismissed_movies SET dismissed_at = '2026-01-01Z' WHERE user_id = %s AND movie_id > 2", [user]
    )
    for limit in (1, 2, 3, 100):
        dismissed = api.pages(f"/users/{user}/dismissed", limit=limit)
        assert [one["movie"]["movie_id"] for one in dismissed] == [2, 1, 3, 4, 5, 6, 7]
        watched = api.pages(f"/users/{user}/watched", limit=limit)
        assert [one["movie"]["movie_id"] for one in watched] == [2, 1, 3, 4, 5, 6, 7]
        rated = api.pages(f"/users/{user}/ratings", limit=limit)
        assert [one["movie"]["movie_id"] for one in rated] == [7, 6, 5, 4, 3, 2, 1]
    assert rated[0]["rating"] == watched[-1]["rating"] == 3.5
    assert rated[0]["movie"] == api.get("/movies/7")
    assert watched[-1]["watched_at"] == "2026-01-01T00:00:00Z"
    api.post("/ratings", 200, user_id=user, movie_id=3, rating=5)
    assert api.get(f"/users/{user}/ratings", limit=1)["items"][0]["movie"]["movie_id"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/users/{NOBODY}", None),
        ("DELETE", f"/users/{NOBODY}", None),
        ("GET", f"/users/{NOBODY}/watched", None),
        ("GET", f"/users/{NOBODY}/ratings", None),
        ("GET", f"/users/{NOBODY}/dismissed", None),
        ("GET", f"/movies/{NOTHING}", None),
        ("GET", f"/movies/{2**63}", None),
        ("GET", "/movies/0", None),
        ("DELETE", f"/watched/1/{NOTHING}", None),
        ("DELETE", f"/ratings/{NOBODY}/1", None),
        ("DELETE", f"/dismissed/{NOBODY}/1", None),
        ("POST", "/watched", {"user_id": NOBODY, "movie_id": 1}),
        ("POST", "/watched", {"user_id": 1, "movie_id": NOTHING}),
        ("POST", "/dismissed", {"user_id": NOBODY, "movie_id": 1}),
        ("POST", "/dismissed", {"user_id": 1, "movie_id": NOTHING}),
        ("POST", "/ratings", {"user_id": NOBODY, "movie_id": 1, "rating": 1}),
        ("POST", "/ratings", {"user_id": 1, "movie_id": NOTHING, "rating": 1}),
        ("GET", "/nowhere", None),
    ],
)
def test_who_and_what_is_not_there_is_said(api: Api, method: str, path: str, body: Any) -> None:
    detail = problem(api.http.request(method, path, json=body), 404)["detail"]
    assert re.search(r"GET /|/docs", detail), detail


def test_a_method_that_a_path_lacks_is_refused(api: Api) -> None:
    answer = api.http.put("/users", json={})
    assert "GET" in problem(answer, 405)["detail"]
    assert "POST" in answer.headers["Allow"]


def test_a_request_with_a_key_is_done_once(api: Api, source: psycopg.Connection) -> None:
    key, email = uuid4().hex, f"{uuid4().hex}@example.org"
    first = api.http.post(
        "/users", json={"name": "Once", "email": email, "city": "Ulm"}, headers={"Idempotency-Key": key}
    )
    again = api.http.post(
        "/users", json={"city": "Ulm", "email": email, "name": "Once"}, headers={"Idempotency-Key": key}
    )
    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (201, None)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    user = first.json()["user_id"]

    other = {"name": "Other", "email": email, "city": "Ulm"}
    refused = api.http.post("/users", json=other, headers={"Idempotency-Key": key})
    assert "another request" in problem(refused, 422)["errors"]["headers"]["Idempotency-Key"][0]
    elsewhere = api.http.post(
        "/watched", json={"user_id": user, "movie_id": 1}, headers={"Idempotency-Key": key}
    )
    problem(elsewhere, 422)

    kept = source.execute("SELECT idempotency_keys::text FROM idempotency_keys").fetchall()
    assert not [row for (row,) in kept if email in row or "Once" in row or "Ulm" in row or key in row]
    api.delete(f"/users/{user}")  # and then nobody is told that this user exists, nor are they made again
    body: dict[str, Any] = {"name": "Once", "email": email, "city": "Ulm"}
    problem(api.http.post("/users", json=body, headers={"Idempotency-Key": key}), 410)
    assert problem(api.http.get(f"/users/{user}"), 404)


@pytest.mark.parametrize(("path", "more"), [("/watched", {}), ("/ratings", {"rating": 2.5})])
def test_opinions_with_a_key_are_done_once(api: Api, user: int, path: str, more: dict[str, Any]) -> None:
    key = uuid4().hex
    first = api.post(path, key=key, user_id=user, movie_id=1, **more)
    api.delete(f"/watched/{user}/1")
    assert api.post(path, key=key, user_id=user, movie_id=1, **more) == first
    assert api.get(f"/users/{user}/watched")["items"] == [], "it was not done again"


def test_requests_with_one_key_at_once_are_one(settings: Settings) -> None:
    key, email = uuid4().hex, f"{uuid4().hex}@example.org"

    def send(_: int) -> dict[str, Any]:
        return Api(settings.backend_url).post("/users", key=key, name="At once", email=email)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    assert all(answer == answers[0] for answer in answers)


def test_a_refused_request_does_not_use_its_key_up(api: Api, user: int) -> None:
    key = uuid4().hex
    answer = api.http.post(
        "/watched", json={"user_id": user, "movie_id": NOTHING}, headers={"Idempotency-Key": key}
    )
    problem(answer, 404)
    api.post("/watched", key=key, user_id=user, movie_id=1)


def test_a_key_is_forgotten_after_a_day(api: Api, user: int, source: psycopg.Connection) -> None:
    key = uuid4().hex
    api.post("/watched", key=key, user_id=user, movie_id=1)
    source.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    api.post("/watched", key=key, user_id=user, movie_id=2)


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 201, "a\tb"])
def test_a_key_is_visible_text(api: Api, user: int, key: str) -> None:
    answer = api.http.post(
        "/watched", json={"user_id": user, "movie_id": 1}, headers=[(b"Idempotency-Key", key.encode())]
    )
    assert "visible" in problem(answer, 422)["errors"]["headers"]["Idempotency-Key"][0]


def test_requests_have_ids(api: Api) -> None:
    assert api.http.get("/genres", headers={"X-Request-Id": "mine-1.2"}).headers["X-Request-Id"] == "mine-1.2"
    made = {
        api.http.get("/genres", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
        for sent in ("", "a b", "<script>", "x" * 101)
    }
    assert len(made) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def test_replies_say_which_process_they_come_from(settings: Settings) -> None:
    assert len(from_all(settings, "/genres")) == settings.backend_workers > 1


def test_answers_are_safe_to_open(api: Api) -> None:
    for path in ("/users", "/nowhere", "/docs", "/metrics"):
        headers = api.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    assert api.http.get("/users").headers["Cache-Control"] == "no-store"


def test_the_documentation_needs_nothing_from_elsewhere(api: Api) -> None:
    page = api.http.get("/docs")
    assert page.is_success
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for file in files:
        assert file.startswith("/docs/")
        assert len(api.http.get(file).raise_for_status().content) > 50
    for path in ("/docs/files/../__init__.py", "/docs/files/%2e%2e/__init__.py", "/docs/files/nothing"):
        assert api.http.get(path).status_code == 404


def test_a_page_from_elsewhere_cannot_come_by_a_name_of_its_own(api: Api) -> None:
    answer = api.http.get("/users", headers={"Host": "rebound.example.com"})
    assert "this machine's names" in problem(answer, 400)["detail"]
    assert api.http.get("/users", headers={"Host": "localhost:1"}).is_success


def test_metrics_count_all_processes(api: Api) -> None:
    def count() -> float:
        text = api.http.get("/metrics").text
        label = 'count{method="GET",route="/genres",status="200"} '
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if label in line)

    before = count()
    for _ in range(20):
        api.get("/genres")
    assert count() - before >= 20


def test_an_erased_user_is_followed_to_the_end(
    api: Api, source: psycopg.Connection, warehouse: Client
) -> None:
    user = api.new_user()
    for movie in range(1, 6):
        api.post("/ratings", user_id=user, movie_id=movie, rating=3)
    api.post("/dismissed", user_id=user, movie_id=6)
    tables = ("users", "watched_movies", "ratings", "dismissed_movies")

    def count(query: str) -> list[int]:
        return [warehouse.query(query.format(table), {"user": user}).result_rows[0][0] for table in tables]

    def alive() -> list[int]:
        return count("SELECT count() FROM raw.{} FINAL WHERE user_id = %(user)s")

    def tombstones() -> list[int]:
        return count("SELECT uniqExact(_version) FROM raw.{} WHERE user_id = %(user)s AND _deleted")

    wait_until(lambda: alive() == [1, 5, 5, 1], "the warehouse has the user")
    api.delete(f"/users/{user}")
    problem(api.http.get(f"/users/{user}"), 404)
    for table in tables:
        left = source.execute(f"SELECT FROM {table} WHERE user_id = %s", [user])
        assert left.rowcount == 0
    wait_until(lambda: alive() == [0, 0, 0, 0], "the warehouse forgets the user")
    assert tombstones() == [1, 5, 5, 1]
