"""The daily batch, end to end: one trigger takes fresh ratings to a registered champion."""

import json
import secrets
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_checker.batch_check import read_outcome
from dataflix_clickhouse import warehouse as warehouse_owner
from dataflix_clients import airflow, mlflow
from dataflix_contract import Settings, tables
from dataflix_recommender.model import UNKNOWN
from support.leaks import files_with
from support.models import registered_by, whole
from support.stack import Stack
from support.waiting import wait_until

# A run takes a minute or so on two cores, and may have to try again.
pytestmark = pytest.mark.timeout(900)

#: Somebody who rates films, and somebody else who is deleted before the batch.
FAN, GONE = 80_000_000, 80_000_001
#: A row of the warehouse that the source does not have, far from every id that PostgreSQL gives.
STRANGER = 1 << 60
#: How many rows of each table the checker has while the batch runs; it deletes them at the end.
CANARY_ROWS = {"users": 1, "movies": 0, "watched_movies": 1, "ratings": 1, "dismissed_movies": 1}


def test_the_checker_runs_the_batch_that_takes_fresh_ratings_to_a_champion(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    marker = f"canary{secrets.token_hex(12)}"
    source.execute(
        "INSERT INTO users (user_id, name, email) VALUES (%s, %s, %s), (%s, 'To be deleted', NULL)",
        [FAN, f"{marker} Ünal", f"{marker}@example.com", GONE],
    )
    try:
        rated = _rate_films(source, FAN, 12)
        _rate_films(source, GONE, 12)
        there = f"SELECT count() FROM raw.ratings FINAL WHERE user_id = {GONE}"
        wait_until(lambda: warehouse.command(there) == 12, "the warehouse has the ratings")
        source.execute("DELETE FROM users WHERE user_id = %s", [GONE])
        report = json.loads(stack.run("./check_all_works.py", "--json", timeout=900).stdout)
        assert report["ok"], [one for one in report["checks"] if not one["ok"]]
        checks = {one["check"]: one["detail"] for one in report["checks"]}
        assert {"elt_pipeline", "reconciliation", "dbt", "marts", "model", "batch privacy"} <= checks.keys()
        assert "masked" in checks["marts"]
        assert {
            "api: recommended",
            "api: not recommended again",
            "api: champion served",
            "api: user erased",
        } <= checks.keys()

        last = airflow.last_run(settings)
        assert last is not None
        outcome = read_outcome(settings, last.run_id)
        assert outcome is not None
        assert outcome["state"] == "success"
        reports = outcome["details"]["reconcile"]
        expected = {name: _count(source, name) + CANARY_ROWS[name] for name in tables()}
        assert {one["table"]: one["rows"] for one in reports} == expected
        assert (outcome["missing"], outcome["different"], outcome["ghosts"]) == (0, 0, 0)
        assert outcome["rows"] == sum(expected.values())
        assert outcome["dbt_models"] >= 4
        assert outcome["dbt_tests_failed"] == 0
        assert outcome["dbt_tests_passed"] > 20
        assert _marts_of(warehouse, FAN) == rated
        assert _marts_of(warehouse, GONE) == {}

        champion = mlflow.read_champion(settings)
        assert champion is not None
        assert outcome["model_version"] >= champion.number
        assert outcome["details"]["train"]["rows"] == expected["ratings"]
        (version,) = registered_by(settings, last.run_id)
        model = whole(settings, version)
        assert model.user(FAN) != UNKNOWN
        assert model.user(GONE) == UNKNOWN
        files = dict(mlflow.artefacts(settings, champion))
        assert any(path.endswith(".npz") for path in files)
        assert not [path for path in files if path.endswith((".pkl", ".pickle"))]
        assert not [path for path, content in files.items() if marker.encode() in content]
        for folder in ("airflow", "clickhouse", "dbt", "logs", "s3"):
            assert files_with(stack.data_dir / folder, marker) == [], folder
    finally:
        source.execute("DELETE FROM users WHERE user_id IN (%s, %s)", [FAN, GONE])


def test_the_pipeline_is_watched_from_a_terminal(stack: Stack, settings: Settings) -> None:
    told = json.loads(stack.run("bin/dataflix-pipeline", "status", "--json").stdout)
    last = airflow.last_run(settings)
    assert last is not None
    assert told["run_id"] == last.run_id


def test_a_failed_dbt_test_is_named_with_its_model_wherever_the_run_is_shown(
    stack: Stack, settings: Settings
) -> None:
    owner = warehouse_owner.connect(settings)
    run_id = airflow.trigger(settings)
    try:
        for task in airflow.wait(settings, run_id, 600):
            if (task.task, task.state) == ("dbt.run", "running"):
                # not before: the reconciliation would repair it
                owner.command(
                    "INSERT INTO raw.users (user_id, email, created_at, updated_at, _version)"
                    f" VALUES ({STRANGER}, 'eve@example.org', now64(6), now64(6), 1)"
                )
    finally:
        owner.command(
            f"ALTER TABLE raw.users DELETE WHERE user_id = {STRANGER}", settings={"mutations_sync": 1}
        )
        owner.close()
    named = "stg_users_email_is_a_pseudonym on stg_users"
    outcome = read_outcome(settings, run_id)
    assert outcome is not None
    assert outcome["state"] == "failed"
    assert outcome["details"]["reason"].startswith("dbt: dbt tests failed: ")
    assert named in outcome["details"]["reason"]
    assert "eve@" not in json.dumps(outcome["details"])
    told = stack.run("bin/dataflix-pipeline", "status", run_id, check=False)
    assert told.returncode == 1
    assert named in told.stdout
    status = stack.run("bin/dataflix-status", check=False).stdout
    assert f"last run: run {run_id} failed: dbt: dbt tests failed: " in status
    assert named in status

    def shown() -> bool:
        last = httpx.get(f"{settings.backend_url}/pipeline", timeout=30).json()["last_run"]
        return bool(last and last["run_id"] == run_id and named in last["reason"])

    wait_until(shown, "the page has the reason", seconds=60)


def _rate_films(source: psycopg.Connection, user_id: int, films: int) -> dict[int, Decimal]:
    ids = [
        row[0] for row in source.execute("SELECT movie_id FROM movies ORDER BY movie_id LIMIT %s", [films])
    ]
    rated = {movie_id: Decimal(place % 10 + 1) / 2 for place, movie_id in enumerate(ids)}
    with source.cursor() as cursor:
        for statement, rows in (
            (
                "INSERT INTO watched_movies (user_id, movie_id) VALUES (%s, %s)",
                [(user_id, one) for one in ids],
            ),
            (
                "INSERT INTO ratings (user_id, movie_id, rating) VALUES (%s, %s, %s)",
                [(user_id, *one) for one in rated.items()],
            ),
        ):
            cursor.executemany(statement, rows)
    return rated


def _marts_of(warehouse: Client, user_id: int) -> dict[int, Any]:
    found = warehouse.query(
        "SELECT movie_id, rating FROM analytics.ratings WHERE user_id = {user_id:Int64}", {"user_id": user_id}
    )
    return {row[0]: row[1] for row in found.result_rows}


def _count(source: psycopg.Connection, table: str) -> int:
    row = source.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])
