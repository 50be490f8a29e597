"""What nobody should send: the API says so, and stays."""

import gzip
import json
import socket
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from dataflix_contract import Settings
from support.backend import Api, problem

_WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    2**63,
    10**30,
    "",
    "1",
    "\0",
    "\u200b",
    "\u3164",
    -0.0,
    float("1e308"),
    "a\0b",
    "x" * 60_000,
    "'; DROP TABLE users; --",
    "1 OR 1=1",
    "%' OR '%'='",
    "{{7*7}}",
    "../../etc/passwd",
    [],
    {},
    [[[[]]]],
    {"$gt": ""},
]
_BODIES: dict[str, dict[str, Any]] = {
    "/users": {"name": "A", "email": "a@example.org", "birth_year": 1980, "city": "B", "state": "C"},
    "/watched": {"user_id": 1, "movie_id": 1},
    "/ratings": {"user_id": 1, "movie_id": 1, "rating": 4},
}
_QUERIES = {
    "/users": ("name", "limit", "cursor"),
    "/movies": ("q", "genre", "year_from", "year_to", "sort", "limit", "cursor"),
    "/users/1/watched": ("limit", "cursor"),
    "/users/1/ratings": ("limit", "cursor"),
    "/recommendations/1": ("n", "genre", "exclude_watched", "exclude"),
    "/movies/1/similar": ("limit", "user_id"),
}
_LARGE = 10_000_000


@pytest.fixture
def api(settings: Settings) -> Api:
    return Api(settings.backend_url)


def _is_taken_or_explained(answer: httpx.Response) -> None:
    if answer.status_code >= 400:
        assert answer.status_code < 500, answer.text
        problem(answer, answer.status_code)


@pytest.mark.parametrize("path", _BODIES)
def test_anything_in_any_field(api: Api, path: str, source: psycopg.Connection) -> None:
    for field in _BODIES[path]:
        for value in _WRONG:
            _is_taken_or_explained(api.http.post(path, json=_BODIES[path] | {field: value}))
    source.execute("DELETE FROM users WHERE email = 'a@example.org'")  # some names are odd, and names
    assert source.execute("SELECT count(*) > 400 FROM users").fetchone() == (True,)


@pytest.mark.parametrize("path", _QUERIES)
def test_anything_in_any_parameter(api: Api, path: str) -> None:
    for name in _QUERIES[path]:
        for value in _WRONG:
            text = value[:2000] if isinstance(value, str) else json.dumps(value)
            _is_taken_or_explained(api.http.get(path, params={name: text}))


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "abc", "%00", "1%00", "9" * 3000, "٣", "1;", "'", "%27%20OR%201"]
)
@pytest.mark.parametrize("path", ["/users/{}", "/users/{}/ratings", "/movies/{}", "/ratings/1/{}"])
def test_anything_in_a_path(api: Api, path: str, text: str) -> None:
    for method in ("GET", "DELETE"):
        answer = api.http.request(method, path.format(text))
        problem(answer, answer.status_code)
        assert answer.status_code in (404, 405)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"\xff\xfe\x00", 422),
        (b"[" * 60_000, 422),
        (b'{"a":' * 10_000, 422),
        (b'{"name": "\\ud800", "email": "a@example.org"}', 422),
        (b'{"name": NaN}', 422),
        (b'{"rating": 1e400}', 422),
        (b'\xef\xbb\xbf{"name": "A"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"name": "A",}', 422),
        (b'{"user_id": ' + b"9" * 60_000 + b"}", 422),
        (b" " * 65_537, 413),
        (b"x" * _LARGE, 413),
    ],
)
def test_content_that_is_no_body(api: Api, content: bytes, status: int) -> None:
    for path in _BODIES:
        answer = api.http.post(path, content=content, headers={"Content-Type": "application/json"})
        problem(answer, status)


@pytest.mark.parametrize("path", _QUERIES)
def test_a_query_that_is_not_utf_8_is_refused_where_it_is_read(api: Api, path: str) -> None:
    for name in _QUERIES[path]:
        problem(api.http.get(f"{path}?{name}=%ff%fe"), 400)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/page/x/pipeline.js", "/docs", "/docs/start.js", "/docs/files/index.css", "/openapi.json"),
        *("/health", "/health/live", "/health/ready", "/metrics", "/pipeline", "/model"),
        *("/users/1", "/movies/1", "/genres", "/ratings/1/1", "/nothing"),
    ],
)
def test_a_query_that_is_not_utf_8_is_refused_where_none_is_read(api: Api, path: str) -> None:
    for method in ("GET", "POST"):
        assert "not UTF-8" in problem(api.http.request(method, f"{path}?x=%ff"), 400)["detail"]
    assert api.http.get(f"{path}?x=%c3%bf").status_code != 400


@pytest.mark.parametrize(
    "path", ["/recommendations//1", "/movies//1", "/users/", "/movies/1/", "/x", "/docs/"]
)
def test_a_path_that_leads_nowhere_is_a_problem_and_no_page(api: Api, path: str) -> None:
    for method in ("GET", "POST", "PATCH"):
        problem(api.http.request(method, path), 404)


def test_a_request_is_not_said_to_be_done_when_what_it_made_is_gone(api: Api) -> None:
    keys = {f"{path}-{uuid4().hex}": path for path in _BODIES}
    person: dict[str, Any] = {"name": "A", "email": f"{uuid4().hex}@example.org"}
    user_id = api.post("/users", key=next(iter(keys)), **person)["user_id"]
    bodies: dict[str, dict[str, Any]] = {"/users": person}
    for path in ("/watched", "/ratings"):
        bodies[path] = _BODIES[path] | {"user_id": user_id}
    for key, path in keys.items():
        first = api.http.post(path, json=bodies[path], headers={"Idempotency-Key": key})
        again = api.http.post(path, json=bodies[path], headers={"Idempotency-Key": key})
        assert (again.status_code, again.json()) == (first.status_code, first.json())
    api.delete(f"/users/{user_id}")
    for key, path in keys.items():
        gone = problem(api.http.post(path, json=bodies[path], headers={"Idempotency-Key": key}), 410)
        assert "a new Idempotency-Key" in gone["detail"]


def test_a_compressed_body_is_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(api.http.post("/users", content=gzip.compress(b"{}"), headers=headers), 415)


def test_an_endless_body_is_cut_off(api: Api) -> None:
    chunks = (b" " * 8192 for _ in range(9))
    answer = api.http.post("/users", content=chunks, headers={"Content-Type": "application/json"})
    problem(answer, 413)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", None])
def test_only_json_is_read(api: Api, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    problem(api.http.post("/users", content=b'{"name": "A"}', headers=headers), 415)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /users HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /users HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /users HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (
            b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n\r\nZ\r\n"
            % b"Connection: close\r\nTransfer-Encoding: chunked",
            400,
        ),
        (b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /users HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: nonsense\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_gets_a_problem_document_too(
    settings: Settings, lines: bytes, status: int
) -> None:
    with socket.create_connection((settings.backend_host, settings.backend_port), timeout=30) as line:
        line.sendall(lines)
        answer = b"".join(iter(lambda: line.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status
