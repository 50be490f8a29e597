"""The server around the API: who may ask, how often, what it writes down, how it stops."""

import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from dataflix_contract import Settings
from support.backend import Api, Backend, problem, running_backend
from support.stack import Stack
from support.waiting import wait_until

TOKEN = "a-token-of-the-tests"
LIMIT = 300


@pytest.fixture(scope="module")
def backend(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    overrides = {"backend_token": TOKEN, "backend_rate_limit": str(LIMIT), "backend_workers": "1"}
    with running_backend(stack.settings, folder, stack.env_file, **overrides) as backend:
        yield backend


@pytest.fixture
def url(backend: Backend) -> str:
    return backend.settings.backend_url


@pytest.fixture
def api(url: str) -> Api:
    return Api(url, TOKEN)


def _lines(backend: Backend) -> list[dict[str, Any]]:
    return [json.loads(line) for line in backend.log.read_text().splitlines()]


@pytest.mark.parametrize("login", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer tökèn"])
def test_without_the_token_nothing_is_told(url: str, login: str | None) -> None:
    headers = {"Authorization": login.encode()} if login else {}
    for path in ("/users", "/users/1", "/movies", "/genres", "/nowhere"):
        answer = Api(url).http.get(path, headers=[(name.encode(), value) for name, value in headers.items()])
        assert "DATAFLIX_BACKEND_TOKEN" in problem(answer, 401)["detail"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_with_the_token_all_is_served(api: Api) -> None:
    assert api.get("/movies", limit=1)["items"]
    assert api.http.get("/genres", headers={"Authorization": f"bearer  {TOKEN}"}).is_success


@pytest.mark.parametrize(
    "path", ["/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"]
)
def test_some_need_no_token(url: str, path: str) -> None:
    assert Api(url).http.get(path).is_success


def test_the_document_tells_of_the_token(api: Api) -> None:
    document = api.get("/openapi.json")
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["security"] == [{"token": []}]
            assert "401" in operation["responses"]


def test_the_log_tells_what_happened_and_nothing_of_whom(api: Api, backend: Backend) -> None:
    marker = f"Canary{uuid4().hex}"
    user = api.new_user(name=marker, email=f"{marker}@example.org")
    api.http.post("/users", json={"name": marker, "email": f"{marker}@example.org"})
    api.http.post("/users", json={"name": marker, "email": marker})
    api.http.post("/users", content=marker, headers={"Content-Type": marker})
    api.http.get("/users", params={"name": marker}, headers={"X-Request-Id": f"{marker} {marker}"})
    api.http.get(f"/{marker}")
    api.http.request(marker.upper(), "/users")
    api.http.get("/users", headers={"Authorization": f"Bearer {marker}"})
    api.http.get("/genres", headers={"X-Request-Id": "the-last-one"})
    lines = wait_until(
        lambda: any(line.get("request_id") == "the-last-one" for line in _lines(backend)) and _lines(backend),
        "the log has the last request",
    )
    assert lines
    assert marker.lower() not in backend.log.read_text().lower()
    assert marker.lower() not in api.http.get("/metrics").text.lower()
    (last,) = (line for line in lines if line.get("request_id") == "the-last-one")
    assert (last["method"], last["route"], last["status"], last["service"]) == (
        "GET",
        "/genres",
        200,
        "backend",
    )
    assert 0 < last["ms"] < 60_000
    assert str(user) not in {line.get("route") for line in lines}
    assert not [line for line in lines if line.get("route") in ("/health/live", "/health/ready", "/metrics")]


def test_a_request_under_way_is_finished_before_the_end(
    stack: Stack, settings: Settings, source: psycopg.Connection, tmp_path: Path
) -> None:
    with running_backend(settings, tmp_path, stack.env_file) as backend, ThreadPoolExecutor() as pool:
        api = Api(backend.settings.backend_url)
        user = api.new_user()
        with source.transaction():
            source.execute("SELECT FROM users WHERE user_id = %s FOR UPDATE", [user])
            answer = pool.submit(api.http.delete, f"/users/{user}")
            waiting = "SELECT FROM pg_locks WHERE NOT granted"
            wait_until(lambda: source.execute(waiting).rowcount, "the deletion waits", every=0.02)
            os.kill(backend.process.pid, signal.SIGTERM)
            wait_until(lambda: "term" in backend.log.read_text(), "the server is told to stop", every=0.02)
        assert answer.result().status_code == 204
        assert backend.process.wait(30) == 0


def test_it_starts_without_postgresql_and_says_so(stack: Stack, settings: Settings, tmp_path: Path) -> None:
    with running_backend(settings, tmp_path, stack.env_file, postgres_port="1") as backend:
        api = Api(backend.settings.backend_url)
        assert api.http.get("/health/live").is_success
        ready = api.http.get("/health/ready")
        assert ready.status_code == 503
        assert "PostgreSQL does not answer" in ready.json()["faults"]
        health = api.http.get("/health")
        assert "PostgreSQL does not answer" in problem(health, 503)["detail"]
        assert health.headers["Retry-After"]
        for _ in range(3):
            answer = api.http.get("/genres")
            assert "try again" in problem(answer, 503)["detail"]
            assert int(answer.headers["Retry-After"]) >= 1
        times = [line["ms"] for line in _lines(backend) if line.get("route") == "/genres"]
        assert min(times) < 1000, "once it is known to be away nobody waits for long"


def test_who_asks_too_often_is_told_when_to_come_back(api: Api, url: str) -> None:
    answers = (api.http.get("/genres") for _ in range(2 * LIMIT + 1))  # the minute may end in between
    refused = next(answer for answer in answers if not answer.is_success)
    assert f"{LIMIT} requests a minute" in problem(refused, 429)["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert re.fullmatch("[0-9a-f]{32}", refused.headers["X-Request-Id"])
    assert Api(url).http.get("/health/ready").is_success
    assert Api(url).http.get("/metrics").is_success
