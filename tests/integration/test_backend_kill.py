"""Processes are killed while many clients write: what was acknowledged is there, and there once."""

import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from support.backend import Backend, running_backend
from support.waiting import wait_until
from support.writers import Writers

log = logging.getLogger(__name__)

_CLIENTS, _MOVIES = 50, 200
_LEAST_KILLS = 5


@pytest.fixture
def backend(settings: Settings, tmp_path: Path) -> Iterator[Backend]:
    with running_backend(settings, tmp_path) as backend:
        yield backend


def _kill_one_after_the_other(backend: Backend, seconds: float) -> int:
    """SIGKILL a worker again and again, as soon as there are two; returns how many."""
    dice = random.Random(5)
    kills, end = 0, time.monotonic() + seconds
    while kills < _LEAST_KILLS or time.monotonic() < end:
        workers = wait_until(lambda: len(backend.workers()) == 2 and backend.workers(), "two workers serve")
        assert workers
        try:
            dice.choice(workers).kill()
        except psutil.NoSuchProcess:
            continue
        kills += 1
        time.sleep(dice.uniform(0.2, 1))  # the pace of the kills: nothing is waited for
    return kills


def test_acknowledged_writes_survive_killed_workers(
    backend: Backend, source: psycopg.Connection, warehouse: Client, pytestconfig: pytest.Config
) -> None:
    seconds = pytestconfig.getoption("--writing-seconds")
    with Writers(backend.settings.backend_url, _CLIENTS, _MOVIES) as writers:
        wait_until(lambda: writers.writes > 100, "clients write", every=0.05)
        kills = _kill_one_after_the_other(backend, seconds)
    assert writers.faults == []
    told = writers.acknowledged
    repeats = sum(one.repeats for one in told)
    log.info("%d writes acknowledged, %d sent again, %d workers killed", writers.writes, repeats, kills)
    assert repeats > 0, "no write was interrupted: nothing was tested"

    users = {one.email: one.user_id for one in told}
    wanted_users = sorted(users.values())
    wanted_watched = sorted((one.user_id, movie) for one in told for movie in one.watched)
    wanted_ratings = sorted((one.user_id, *rated) for one in told for rated in one.ratings.items())
    found = source.execute("SELECT email, user_id FROM users WHERE email LIKE '%@writers.example.org'")
    assert {email: user_id for email, user_id in found if email in users} == users
    assert source.execute("SELECT count(*) FROM users WHERE email = ANY(%s)", [list(users)]).fetchone() == (
        len(users),
    )
    assert _of_source(source, "user_id, movie_id", "watched_movies", wanted_users) == wanted_watched
    assert _of_source(source, "user_id, movie_id, rating::float8", "ratings", wanted_users) == wanted_ratings

    def arrived() -> bool:
        return (
            _of_warehouse(warehouse, "user_id", "users", wanted_users) == [(one,) for one in wanted_users]
            and _of_warehouse(warehouse, "user_id, movie_id", "watched_movies", wanted_users)
            == wanted_watched
            and _of_warehouse(warehouse, "user_id, movie_id, toFloat64(rating)", "ratings", wanted_users)
            == wanted_ratings
        )

    wait_until(arrived, "the warehouse has each write once", 120, every=0.5)


def _of_source(
    source: psycopg.Connection, columns: str, table: str, users: list[int]
) -> list[tuple[float, ...]]:
    query = f"SELECT {columns} FROM {table} WHERE user_id = ANY(%s) ORDER BY 1, 2"
    return source.execute(query.encode(), [users]).fetchall()


def _of_warehouse(warehouse: Client, columns: str, table: str, users: list[int]) -> list[tuple[float, ...]]:
    query = (
        f"SELECT {columns} FROM raw.{table} FINAL WHERE NOT _deleted AND user_id IN %(users)s ORDER BY ALL"
    )
    return [tuple(row) for row in warehouse.query(query, {"users": users}).result_rows]
