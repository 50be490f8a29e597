"""Servers behind the API go away and come back: what it does meanwhile."""

from uuid import uuid4

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from dataflix_contract import Settings
from support.backend import Api, problem
from support.stack import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.disruptive

_STACK = "bin/dataflix-stack"


@pytest.fixture
def api(settings: Settings) -> Api:
    return Api(settings.backend_url)


def _is_ready(api: Api) -> bool:
    return api.http.get("/health/ready").is_success


def test_without_postgresql_it_says_so_and_goes_on_when_it_is_back(stack: Stack, api: Api) -> None:
    user, key = api.new_user(), uuid4().hex
    body = {"user_id": user, "movie_id": 1, "rating": 4}
    stack.run(_STACK, "stop", "postgres")
    try:
        for _ in range(4):  # either process, each for the first time and again
            answer = api.http.post("/ratings", json=body, headers={"Idempotency-Key": key})
            assert "same Idempotency-Key" in problem(answer, 503)["detail"]
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.elapsed.total_seconds() < 30  # two seconds, on a machine with nothing else to do
        assert api.http.get("/health/live").is_success
        ready = api.http.get("/health/ready")
        assert ready.status_code == 503
        assert "PostgreSQL does not answer" in ready.json()["faults"]
    finally:
        stack.run(_STACK, "start", "postgres")
    wait_until(lambda: all(_is_ready(api) for _ in range(6)), "both processes are ready again", every=0.2)
    assert api.post("/ratings", key=key, **body)["watched"] == "now"
    stack.wait_ready("everything")


def test_without_stream_and_warehouse_it_serves_and_writes(stack: Stack, api: Api, warehouse: Client) -> None:
    away = ("clickhouse", "kafka")
    for service in away:
        stack.run(_STACK, "stop", service)
    try:
        user = api.new_user()
        assert api.post("/ratings", user_id=user, movie_id=1, rating=2.5)["watched"] == "now"
        assert api.get(f"/users/{user}/ratings")["items"][0]["rating"] == 2.5
        assert api.get("/movies", q="matrx")["items"]
        assert api.http.get(f"/recommendations/{user}").is_success
        assert _is_ready(api)
    finally:
        for service in reversed(away):
            stack.run(_STACK, "start", service)

    def arrived() -> bool:
        query = "SELECT rating FROM raw.ratings FINAL WHERE user_id = %(user)s AND NOT _deleted"
        try:
            return float(warehouse.command(query, {"user": user}) or 0) == 2.5  # type: ignore[arg-type]
        except (Error, httpx.TransportError):
            return False

    wait_until(arrived, "the rating arrives when all are back", 180, every=1)
    stack.wait_ready("everything")
