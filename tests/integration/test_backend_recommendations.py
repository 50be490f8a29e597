"""Recommendations from a running backend: what was just rated counts, a new champion is put in service."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import psycopg
import pytest
from mlflow import MlflowClient

from dataflix_clients import mlflow
from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION, MODEL
from dataflix_recommender import digest, load, save
from dataflix_training.mlflow_run import Tracking
from support.api import api_client, recommended
from support.champion import from_all, serve, served_by_all
from support.stack import Stack
from support.training import train
from support.waiting import wait_until

USERS, SIMILAR, NEAR = 200, 10, 2
NOTHING = 2**63 - 1
SWAPS, READERS, PAUSE_SECONDS = 20, 4, 0.04


@pytest.fixture
def api(settings: Settings, champion: int) -> Iterator[httpx.Client]:
    assert champion
    with api_client(settings) as client:
        yield client


@pytest.fixture
def user(api: httpx.Client) -> Iterator[int]:
    """A user of the test's own, who has done nothing yet."""
    body = {"name": "Test", "email": f"{secrets.token_hex(8)}@example.org"}
    user_id = api.post("/users", json=body).raise_for_status().json()["user_id"]
    yield user_id
    assert api.delete(f"/users/{user_id}").status_code in {204, 404}


def rate(api: httpx.Client, user_id: int, movie_id: int, stars: float) -> None:
    body = {"user_id": user_id, "movie_id": movie_id, "rating": stars}
    api.post("/ratings", json=body).raise_for_status()


def ids(reply: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in reply["items"]]


def place(shown: list[int], movie_ids: list[int]) -> float:
    """Where these films stand in a list, on the average; what is not in it stands behind it."""
    where = {movie_id: place for place, movie_id in enumerate(shown)}
    return sum(where.get(one, len(where)) for one in movie_ids) / len(movie_ids)


def test_a_rating_changes_the_next_reply_always(api: httpx.Client, source: psycopg.Connection) -> None:
    """For 200 users: films like one that got a 5 move up, like one that got a 0.5 move down."""
    users = [row[0] for row in source.execute("SELECT user_id FROM users ORDER BY 1 LIMIT %s", [USERS])]
    assert len(users) == USERS
    neighbours = Neighbours(api)
    for user_id in users:
        before = recommended(api, user_id, n=100)
        rated, near = neighbours.choose(ids(before))
        try:
            rate(api, user_id, rated, 5.0)
            loved = recommended(api, user_id, n=100)
            rate(api, user_id, rated, 0.5)
            hated = recommended(api, user_id, n=100)
        finally:
            api.delete(f"/watched/{user_id}/{rated}").raise_for_status()
        for after in (loved, hated):
            assert after["based_on"]["ratings"] == before["based_on"]["ratings"] + 1
            assert after["based_on"]["fresh_ratings"] == before["based_on"]["fresh_ratings"] + 1
            assert rated not in ids(after)
        rest = [one for one in ids(before) if one != rated]
        assert place(ids(loved), near) < place(rest, near), (user_id, rated)
        assert place(ids(hated), near) > place(rest, near), (user_id, rated)
        assert ids(recommended(api, user_id, n=100)) == ids(before)


class Neighbours:
    """Films like others, asked for once."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api
        self._like: dict[int, set[int]] = {}

    def choose(self, shown: list[int]) -> tuple[int, list[int]]:
        """A film of a list, and the films like it that are in the list's middle: they can move."""
        for rated in shown:
            if rated not in self._like:
                answer = self._api.get(f"/movies/{rated}/similar", params={"limit": SIMILAR})
                self._like[rated] = set(ids(answer.raise_for_status().json()))
            near = [one for one in shown[10:-10] if one in self._like[rated]]
            if len(near) >= NEAR:
                return rated, near
        raise AssertionError(f"no film of {shown} has {NEAR} like it among them")


def test_a_stranger_s_list_is_the_popular_one_until_the_first_rating(api: httpx.Client, user: int) -> None:
    popular = recommended(api, user)
    assert (popular["strategy"], popular["based_on"]) == ("popular", {"ratings": 0, "fresh_ratings": 0})
    assert all(item["because"] is None and item["stars"] for item in popular["items"])
    first = popular["items"][0]
    rate(api, user, first["movie_id"], 5.0)
    personal = recommended(api, user)
    assert (personal["strategy"], personal["based_on"]) == ("personal", {"ratings": 1, "fresh_ratings": 1})
    assert ids(personal) != ids(popular)[1:]
    reason = {"movie_id": first["movie_id"], "title": first["title"]}
    assert (personal["items"][0]["because"], personal["items"][0]["reasons"]) == (reason, [reason])
    api.delete(f"/watched/{user}/{first['movie_id']}").raise_for_status()
    assert recommended(api, user)["items"] == popular["items"]
    api.delete(f"/users/{user}").raise_for_status()
    assert api.get(f"/recommendations/{user}").status_code == 404


def someone_without_a_fresh_rating(
    api: httpx.Client, source: psycopg.Connection
) -> tuple[int, dict[str, Any]]:
    """A user whose ratings the model knows all, and what it recommends: other tests rate films too."""
    for (user_id,) in source.execute("SELECT DISTINCT user_id FROM ratings ORDER BY 1"):
        reply = recommended(api, user_id)
        if reply["based_on"]["fresh_ratings"] == 0:
            return user_id, reply
    raise AssertionError("the model knows nobody's ratings as they are")


def test_a_rating_of_the_training_counts_no_longer_once_it_is_taken_back(
    api: httpx.Client, source: psycopg.Connection
) -> None:
    user_id, before = someone_without_a_fresh_rating(api, source)
    statement = "SELECT movie_id, rating::float8 FROM ratings WHERE user_id = %s ORDER BY 1 LIMIT 1"
    ((movie_id, stars),) = source.execute(statement, [user_id]).fetchall()
    try:
        api.delete(f"/ratings/{user_id}/{movie_id}").raise_for_status()
        without = recommended(api, user_id)
        assert without["based_on"] == {"ratings": before["based_on"]["ratings"] - 1, "fresh_ratings": 0}
        assert without["items"] != before["items"]
        assert movie_id not in ids(recommended(api, user_id, n=100))  # watched all the same
        assert movie_id not in {
            reason["movie_id"]
            for item in recommended(api, user_id, n=100)["items"]
            for reason in item["reasons"]
        }
    finally:
        rate(api, user_id, movie_id, stars)
    assert recommended(api, user_id)["items"] == before["items"]


def test_a_reply_is_asked_for_again_by_its_tag(api: httpx.Client, user: int) -> None:
    path = f"/recommendations/{user}"
    first = api.get(path)
    tag = {"If-None-Match": first.headers["ETag"]}
    same = api.get(path, headers=tag)
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert api.get(path, params={"n": 11}, headers=tag).status_code == 200
    api.post("/watched", json={"user_id": user, "movie_id": ids(first.json())[0]}).raise_for_status()
    changed = api.get(path, headers=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_what_is_asked_for_bounds_the_reply(api: httpx.Client, user: int) -> None:
    assert len(recommended(api, user, n=1)["items"]) == 1
    genre = api.get("/genres").json()["items"][0]["genre"]
    of_it = recommended(api, user, n=100, genre=genre)["items"]
    assert of_it
    assert all(genre in item["genres"] for item in of_it)
    assert recommended(api, user, genre="none of ours")["items"] == []
    film = of_it[0]["movie_id"]
    api.post("/watched", json={"user_id": user, "movie_id": film}).raise_for_status()
    assert film not in ids(recommended(api, user, genre=genre))
    assert film in ids(recommended(api, user, genre=genre, exclude_watched=False))
    queries: list[dict[str, Any]] = [{"n": 0}, {"n": 101}, {"n": "x"}, {"exclude_watched": "perhaps"}]
    queries += [{"diversity": one} for one in (-0.1, 1.1, "nan", "much")]
    queries += [{"more": 1}, *({"exclude": one} for one in ("x", "1,", ",1", "1;2", ",".join(["1"] * 101)))]
    for query in queries:
        refused = api.get(f"/recommendations/{user}", params=query)
        assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json")


def test_films_that_are_asked_to_be_left_out_are_not_there(api: httpx.Client, user: int) -> None:
    popular = recommended(api, user, n=20)
    first, second, third, *_ = ids(popular)
    nobody = f"{NOTHING},{-NOTHING},9999999999999999999"
    rest = recommended(api, user, n=18, exclude=f"{second},{first},{first},{nobody}")
    assert ids(rest) == ids(popular)[2:]
    assert recommended(api, user, n=20, exclude="")["items"] == popular["items"]
    rate(api, user, third, 5.0)
    personal = ids(recommended(api, user, n=20))
    without = recommended(api, user, n=20, exclude=f"{personal[0]}", exclude_watched=False)
    assert personal[0] not in ids(without)
    assert third in ids(without)
    assert ids(recommended(api, user, n=19, exclude=f"{personal[0]}")) == personal[1:]


def test_a_dismissed_film_is_not_recommended_again_until_it_is_taken_back(
    settings: Settings, api: httpx.Client, user: int
) -> None:
    path = f"/recommendations/{user}"
    popular = recommended(api, user, n=11)
    rate(api, user, ids(popular)[10], 5.0)
    before = recommended(api, user, n=11)
    first = ids(before)[0]
    assert first in ids(api.get(f"/movies/{ids(before)[1]}/similar", params={"limit": 100}).json())
    body = {"user_id": user, "movie_id": first}
    tag = api.get(path, params={"n": 11}).headers["ETag"]
    api.post("/dismissed", json=body).raise_for_status()
    assert api.get(path, params={"n": 11}, headers={"If-None-Match": tag}).status_code == 200
    for reply in from_all(settings, path):  # whichever process answers, and whatever it has at hand
        assert ids(reply) == ids(before)[1:]
    assert first not in ids(recommended(api, user, n=100, exclude_watched=False))
    similar = {"limit": 100, "user_id": user}
    assert first not in ids(api.get(f"/movies/{ids(before)[1]}/similar", params=similar).json())
    api.delete(f"/dismissed/{user}/{first}").raise_for_status()
    assert recommended(api, user, n=11)["items"] == before["items"]


def test_films_that_are_to_be_unlike_each_other_are_others(api: httpx.Client, user: int) -> None:
    for film in ids(recommended(api, user, n=3)):
        rate(api, user, film, 5.0)
    plain = recommended(api, user, n=20)
    assert recommended(api, user, n=20, diversity=0)["items"] == plain["items"]
    diverse = recommended(api, user, n=20, diversity=0.6)
    assert len(set(ids(diverse))) == 20
    assert ids(diverse)[0] == ids(plain)[0]
    assert set(ids(diverse)) != set(ids(plain))


def test_similar_films_leave_out_what_a_user_has_watched(api: httpx.Client, user: int) -> None:
    (film,) = ids(recommended(api, user, n=1))

    def alike(**query: int) -> list[int]:
        return ids(api.get(f"/movies/{film}/similar", params=query).raise_for_status().json())

    everything = alike(limit=5)
    assert alike(limit=5, user_id=user) == everything
    api.post("/watched", json={"user_id": user, "movie_id": everything[0]}).raise_for_status()
    assert alike(limit=4, user_id=user) == everything[1:]
    assert alike(limit=5) == everything
    missing = api.get(f"/movies/{film}/similar", params={"user_id": NOTHING})
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_change_of_the_catalogue_is_shown(
    settings: Settings, api: httpx.Client, user: int, source: psycopg.Connection
) -> None:
    best = recommended(api, user)["items"][0]
    renamed = f"Test {secrets.token_hex(4)}"

    def first_titles() -> set[str]:
        return {reply["items"][0]["title"] for reply in from_all(settings, f"/recommendations/{user}")}

    rename = "UPDATE movies SET title = %s WHERE movie_id = %s"
    try:
        source.execute(rename, [renamed, best["movie_id"]])
        wait_until(lambda: first_titles() == {renamed}, "every process has the new title", seconds=20)
    finally:
        source.execute(rename, [best["title"], best["movie_id"]])
    wait_until(lambda: first_titles() == {best["title"]}, "every process has the old title", seconds=20)


def test_who_has_watched_all_that_the_model_knows_gets_new_films(
    settings: Settings, api: httpx.Client, user: int, source: psycopg.Connection
) -> None:
    source.execute("INSERT INTO watched_movies SELECT %s, movie_id FROM movies", [user])
    assert recommended(api, user)["items"] == []
    tag = api.get(f"/recommendations/{user}").headers["ETag"]
    add = "INSERT INTO movies (title, release_year, genres) VALUES (%s, %s, %s) RETURNING movie_id"
    added = [
        source.execute(add, [f"New {place}", year, genres]).fetchone()
        for place, (year, genres) in enumerate([(1999, ["Drama"]), (2024, ["Comedy"]), (None, ["DRAMA "])])
    ]
    old, new, undated = (row[0] for row in added if row)
    try:

        def shown(**query: Any) -> set[tuple[int, ...]]:
            path = str(httpx.URL(f"/recommendations/{user}", params=query))
            return {tuple(ids(reply)) for reply in from_all(settings, path)}

        wait_until(lambda: shown() == {(new, old, undated)}, "every process fills the list", seconds=20)
        reply = api.get(f"/recommendations/{user}", headers={"If-None-Match": tag})
        assert reply.status_code == 200
        assert {(item["stars"], item["score"], item["because"]) for item in reply.json()["items"]} == {
            (None, None, None)
        }
        assert shown(n=2) == {(new, old)}
        for genre in ("drama", "Drama", " DRAMA "):
            assert shown(genre=genre) == {(old, undated)}
            of_it = api.get("/movies", params={"genre": genre, "q": "New"}).json()["items"]
            assert {old, undated} <= {film["movie_id"] for film in of_it}
        everything = ids(recommended(api, user, n=100, exclude_watched=False))
        assert len(set(everything)) == 100
        assert api.get(f"/movies/{new}/similar").json()["items"] == []
    finally:
        source.execute("DELETE FROM movies WHERE movie_id = ANY(%s)", [[old, new, undated]])
    wait_until(lambda: shown() == {()}, "they are gone again", seconds=20)


def test_a_champion_deleted_in_mlflow_serves_on_and_is_no_rival(
    stack: Stack, settings: Settings, tracking: Tracking, other: int, user: int
) -> None:
    serve(settings, tracking, other)
    tracking.client.delete_model_version(MODEL, str(other))
    wait_until(lambda: served_by_all(settings) == {(other, "disk")}, "it is served from the disk")
    with api_client(settings) as client:
        assert "MLflow names no champion" in str(client.get("/health/ready").json()["warnings"])
        assert recommended(client, user)["model"]["version"] == other
    trained = train(stack, f"test-after-deletion-{other}")
    assert (trained["alias"], trained["reasons"]) == ("champion", ["no champion to compare with"])
    version = trained["model_version"]
    wait_until(lambda: served_by_all(settings) == {(version, "registry")}, "the new champion is served")


def test_the_processes_share_the_model_s_memory(stack: Stack, api: httpx.Client) -> None:
    assert api.get("/model").status_code == 200
    workers = psutil.Process(stack.pid("backend")).children()
    assert len(workers) == stack.settings.backend_workers
    for worker in workers:
        mapped = [
            one for one in worker.memory_maps(grouped=False) if Path(one.path).name == "item_factors.npy"
        ]
        assert mapped
        assert all(one.private_dirty == 0 for one in mapped)


def test_what_is_served_can_be_watched(api: httpx.Client, user: int, champion: int) -> None:
    recommended(api, user)
    lines = api.get("/metrics").text.splitlines()
    values = {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }
    assert values["dataflix_backend_model_version"] == champion
    assert values["dataflix_backend_model_trained_timestamp_seconds"] <= time.time()
    assert values["dataflix_backend_model_swaps_total"] >= 1
    assert values["dataflix_backend_recommend_compute_seconds_count"] >= 1
    shown = api.get("/model").json()
    assert shown["version"] == champion
    assert {"rmse", "ndcg_at_10"} <= set(shown["metrics"])


@pytest.fixture
def other(settings: Settings, tracking: Tracking, champion: int, tmp_path: Path) -> Iterator[int]:
    """A second version, whose stars and scores differ from the champion's; the champion serves again."""
    file = tmp_path / "model.npz"
    with mlflow.connect(settings) as client:
        named = mlflow.read_champion_over(client)
        assert named
        mlflow.fetch(client, named, f"data/{file.name}", file, 30)
    model = load(file)
    altered = replace(
        model,
        item_bias=model.item_bias - np.float32(0.25),
        ranker_weights=model.ranker_weights * np.float32(2),
    )
    save(altered, file)
    yield register(tracking.client, named.run_id, file, digest(altered))
    tracking.client.set_registered_model_alias(MODEL, CHAMPION, str(champion))


def register(client: MlflowClient, mlflow_run: str, file: Path, sha256: str) -> int:
    """Make a file a version of the model."""
    beside = client.get_run(mlflow_run).info.experiment_id
    run = client.create_run(beside, run_name="test-other").info
    client.log_artifact(run.run_id, str(file), "model/data")
    client.set_terminated(run.run_id)
    source = f"{run.artifact_uri}/model"
    made = client.create_model_version(MODEL, source, run.run_id, tags={mlflow.MODEL_DIGEST_TAG: sha256})
    return int(made.version)


@dataclass
class Load:
    """Requests of a few clients, from the beginning to the end of a test."""

    settings: Settings
    path: str
    replies: list[tuple[int, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """One client: as much as the backend's limit lets through, each on a connection for a while."""
        while not self.ended.is_set():
            with api_client(self.settings) as client:
                for _ in range(10):
                    answer = client.get(self.path)
                    body = answer.json()
                    self.replies.append((answer.status_code, body))
                    self.ended.wait(PAUSE_SECONDS)


def content(reply: dict[str, Any]) -> list[tuple[int, float, float]]:
    return [(item["movie_id"], item["stars"], item["score"]) for item in reply["items"]]


def test_champions_are_swapped_under_load_without_a_failed_or_mixed_reply(
    settings: Settings, tracking: Tracking, champion: int, other: int, source: psycopg.Connection
) -> None:
    ((user_id,),) = source.execute("SELECT user_id FROM ratings ORDER BY 1 LIMIT 1").fetchall()
    expected = {}
    for version in (other, champion):
        serve(settings, tracking, version)
        with api_client(settings) as client:
            expected[version] = content(recommended(client, user_id))
    assert expected[other] != expected[champion]
    work = Load(settings, f"/recommendations/{user_id}")
    with ThreadPoolExecutor(READERS) as readers:
        running = [readers.submit(work.run) for _ in range(READERS)]
        try:
            for number in range(SWAPS):
                swap(tracking.client, work, (other, champion)[number % 2])
        finally:
            work.ended.set()
        for one in running:
            one.result()
    assert {status for status, _ in work.replies} == {200}
    seen = {reply["model"]["version"] for _, reply in work.replies}
    assert seen == {champion, other}
    for _, reply in work.replies:
        assert content(reply) == expected[reply["model"]["version"]]


def swap(client: MlflowClient, work: Load, version: int) -> None:
    """Move the alias, and wait until a reader has seen it."""
    client.set_registered_model_alias(MODEL, CHAMPION, str(version))

    def arrived() -> bool:
        return any(reply["model"]["version"] == version for _, reply in work.replies[-2 * READERS :])

    wait_until(arrived, f"version {version} is in service", seconds=60, every=0.02)


def test_a_broken_champion_replaces_no_good_one(
    stack: Stack, tracking: Tracking, champion: int, other: int, user: int
) -> None:
    settings = stack.settings
    tracking.client.set_model_version_tag(MODEL, str(other), mlflow.MODEL_DIGEST_TAG, "0" * 64)
    tracking.client.set_registered_model_alias(MODEL, CHAMPION, str(other))

    def refusal() -> dict[str, Any] | None:
        with api_client(settings) as client:
            ready = client.get("/health/ready")
        assert ready.status_code == 200
        state: dict[str, Any] = ready.json()
        refused: dict[str, Any] | None = state["refusal"]
        if refused is None:
            assert state["not_served"] == ""
            return None
        assert state["not_served"] in state["warnings"]
        assert state["not_served"] == f"champion version {refused['version']}, not served: {refused['why']}"
        return refused

    told = wait_until(refusal, "the broken version is told of", seconds=60)
    assert told
    assert (told["version"], told["reason"]) == (other, "unusable")
    assert "digest" in told["why"]
    wait_until(lambda: served_by_all(settings) == {(champion, "disk")}, "the good one is served")
    with api_client(settings) as client:
        assert recommended(client, user)["model"]["version"] == champion
    log = (stack.data_dir / "logs" / "backend.log").read_text()
    assert "the champion that the registry names is not served" in log
    serve(settings, tracking, champion)
    assert refusal() is None


@pytest.mark.disruptive
def test_without_mlflow_and_s3_the_last_champion_is_served_from_the_disk(
    stack: Stack, settings: Settings, champion: int, user: int
) -> None:
    def ready() -> dict[str, Any]:
        with api_client(settings) as client:
            answer = client.get("/health/ready")
        body: dict[str, Any] = answer.json()
        return {"code": answer.status_code, **body}

    def answers() -> bool:
        try:
            return bool(ready()["code"] == 200)
        except httpx.TransportError:
            return False

    try:
        for service in ("backend", "mlflow", "s3"):
            stack.run("bin/dataflix-stack", "stop", service)
        stack.run("bin/dataflix-stack", "start", "backend")
        wait_until(answers, "the backend answers")
        wait_until(lambda: served_by_all(settings) == {(champion, "disk")}, "all serve from the disk")
        wait_until(lambda: any("MLflow does not answer" in one for one in ready()["warnings"]), "it says why")
        with api_client(settings) as client:
            reply = recommended(client, user)
            assert reply["items"]
            assert (reply["model"]["version"], reply["model"]["source"]) == (champion, "disk")
        killed = psutil.Process(stack.pid("backend")).children()[0]
        killed.kill()
        wait_until(lambda: not killed.is_running(), "the killed worker is gone")
        wait_until(answers, "the others answer, and a new one comes")
        wait_until(lambda: served_by_all(settings) == {(champion, "disk")}, "the new one serves it too")
    finally:
        for service in ("s3", "mlflow"):
            stack.run("bin/dataflix-stack", "start", service)
    wait_until(
        lambda: served_by_all(settings) == {(champion, "registry")}, "the registry is back", seconds=180
    )
    wait_until(lambda: ready()["warnings"] == [], "nothing is left to warn of")
