"""Other people and other films, imported over those that a champion knows; then too few ratings."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION
from dataflix_training.mlflow_run import Tracking
from support.api import api_client, recommended
from support.batch import run_batch
from support.champion import from_all, served_by_all
from support.ratings import synthetic_ratings
from support.release import write_release
from support.stack import Stack
from support.training import build_marts, train
from support.waiting import wait_until

pytestmark = [pytest.mark.other_data, pytest.mark.timeout(900)]

SOMEONE = 1


def test_a_release_of_odd_titles_gets_a_champion_and_nothing_from_the_one_of_other_films(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client, tmp_path: Path
) -> None:
    build_marts(settings, warehouse)
    aliases = Tracking(settings).registry.aliases()
    before = aliases.get(CHAMPION) or train(stack, "test-before")["model_version"]
    ratings = synthetic_ratings(users=150, items=150, rows=6_000, seed=7)
    stack.run("bin/dataflix-import", str(write_release(tmp_path / "odd", ratings)), "--replace")
    source.execute("UPDATE users SET city = 'me@home' WHERE user_id = %s", [SOMEONE])
    source.execute("UPDATE movies SET overview = 'Ask who@where.example' WHERE movie_id = 1")

    wait_until(lambda: served_by_all(settings) == {None}, "no process serves the champion of other films")
    assert any(
        f"champion version {before}, not served: made for another catalogue" in one
        for one in warnings(settings)
    )
    told = f"version {before}, not served: made for another catalogue; popular films are served"
    for command in (("bin/dataflix-model", "list"), ("bin/dataflix-status",)):
        assert told in stack.run(*command, check=False).stdout
    shown = from_all(settings, "/pipeline")[0]["champion"]
    assert told in shown["not_served"]
    reply = wait_until(lambda: popular(settings), "the new catalogue's popular films are shown")
    assert reply
    assert (reply["strategy"], reply["model"]) == ("popular", None)
    assert {(item["stars"], item["because"]) for item in reply["items"]} == {(None, None)}

    outcome = run_batch(settings)
    assert outcome["dbt_tests_failed"] == 0
    assert outcome["alias"] == "champion", outcome["details"]["reason"]
    assert "other data" in outcome["details"]["train"]["reasons"][0]
    assert outcome["details"]["train"]["rows"] == len(ratings)
    titles = {row[0] for row in source.execute("SELECT title FROM movies")}
    assert {"D@bbe", "me@example.org", "Spaces Around"} <= titles
    assert {row[0] for row in warehouse.query("SELECT title FROM analytics.movies").result_rows} == titles
    version = outcome["model_version"]
    wait_until(lambda: served_by_all(settings) == {(version, "registry")}, "the new champion is served")
    with api_client(settings) as api:
        assert recommended(api, SOMEONE)["strategy"] == "personal"


def test_too_few_ratings_are_no_failure_and_the_popular_films_are_shown(
    stack: Stack, settings: Settings, source: psycopg.Connection, tmp_path: Path
) -> None:
    ratings = synthetic_ratings(users=20, items=40, rows=200, seed=11)
    registry = Tracking(settings).registry
    before = registry.aliases()
    few = write_release(tmp_path / "few", ratings, name="Short")
    stack.run("bin/dataflix-import", str(few), "--replace")
    outcome = run_batch(settings)
    why = f"{len(ratings)} ratings are too few, 1000 are needed"
    assert outcome["details"]["reason"].startswith(f"no model was trained: {why}")
    assert (outcome["state"], outcome["model_version"], outcome["rmse"]) == ("success", 0, None)
    assert registry.aliases() == before
    for command in (
        ("bin/dataflix-pipeline", "status", outcome["run_id"]),
        ("bin/dataflix-status",),
        ("bin/dataflix-train",),
    ):
        assert why in stack.run(*command).stdout, command
    shown = wait_until(lambda: popular(settings), "popular films are shown")
    assert shown
    source.execute("UPDATE ratings SET rating = 5")
    most = "SELECT movie_id, count(*) FROM ratings GROUP BY 1 ORDER BY 2 DESC, 1"
    by_count: dict[int, int] = dict(source.execute(most).fetchall())

    def by_how_many() -> bool:
        with api_client(settings) as api:
            items = recommended(api, SOMEONE, n=40, exclude_watched=False)["items"]
        counts = [by_count[item["movie_id"]] for item in items]
        return counts == sorted(counts, reverse=True) and len(counts) == len(by_count)

    wait_until(by_how_many, "of equal ratings their number decides", seconds=60)


def popular(settings: Settings) -> dict[str, Any] | None:
    """What is recommended to someone, once every process has the popular films of the catalogue."""
    replies = from_all(settings, f"/recommendations/{SOMEONE}")
    return replies[0] if all(reply["items"] and not reply["model"] for reply in replies) else None


def warnings(settings: Settings) -> list[str]:
    """What any process warns of."""
    return [warning for ready in from_all(settings, "/health/ready") for warning in ready["warnings"]]
