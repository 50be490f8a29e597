"""The dbt webhook's pages, on a store of the test's own and with nobody at work."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from dataflix_contract import Settings
from dataflix_dbt.project import Folders
from dataflix_dbt.run_store import Store
from dataflix_dbt.runs import MOST_QUEUED, RunRequest, Status
from dataflix_dbt.web import Service, create_app
from dataflix_dbt.worker import Metrics, Worker

TOKEN = "a-token-of-the-tests"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
UNUSED_PORT = 1


@pytest.fixture
def service(tmp_path: Path) -> Service:
    settings = Settings(dbt_token=SecretStr(TOKEN), clickhouse_http_port=UNUSED_PORT)
    folders = Folders(tmp_path)
    folders.make()
    store, metrics = Store(folders.database), Metrics()
    return Service(settings, folders, store, Worker(store, folders, settings, metrics), metrics)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def problem(answer: Any, status: int) -> str:
    """The detail of an answer that must be a problem."""
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    return str(answer.json["detail"])


def test_a_request_is_taken_and_can_be_looked_at(client: FlaskClient) -> None:
    answer = client.post("/runs", json={"select": "ratings"}, headers=LOGIN)
    assert answer.status_code == 202
    assert answer.json
    run = answer.json
    assert (run["status"], run["select"], run["full_refresh"]) == ("queued", "ratings", False)
    assert (run["results"], run["failed_tests"], run["error"]) == ([], [], None)
    assert client.get(answer.headers["Location"], headers=LOGIN).json == run
    listed = client.get("/runs", headers=LOGIN).json
    assert listed == {"runs": [{name: value for name, value in run.items() if name != "results"}]}
    log = client.get(f"/runs/{run['id']}/logs", headers=LOGIN)
    assert (log.status_code, log.text, log.mimetype) == (200, "", "text/plain")


def test_no_body_asks_for_everything(client: FlaskClient, service: Service) -> None:
    answer = client.post("/runs", headers=LOGIN)
    assert answer.status_code == 202
    (run,) = service.store.newest(2)
    assert run.request == RunRequest()


def test_equal_requests_join_and_keys_are_remembered(client: FlaskClient, service: Service) -> None:
    first = client.post("/runs", json={}, headers=LOGIN).json
    keyed = client.post("/runs", json={}, headers=LOGIN | {"Idempotency-Key": "a"}).json
    assert first
    assert keyed
    assert keyed["id"] == first["id"]
    service.store.claim()
    service.store.finish(first["id"], Status.SUCCEEDED, None, [])
    again = client.post("/runs", json={}, headers=LOGIN | {"Idempotency-Key": "a"})
    assert again.status_code == 202
    assert again.json
    assert (again.json["id"], again.json["status"]) == (first["id"], "succeeded")
    other = client.post("/runs", json={"full_refresh": True}, headers=LOGIN | {"Idempotency-Key": "a"})
    assert "with another request" in problem(other, 422)


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": TOKEN}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/runs"), ("GET", "/runs"), ("GET", "/runs/a"), ("GET", "/runs/a/logs")]
)
def test_nobody_gets_in_without_the_token(
    client: FlaskClient, service: Service, header: dict[str, str], method: str, path: str
) -> None:
    answer = client.open(path, method=method, headers=header)
    detail = problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN not in detail
    assert service.store.newest(1) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"select": "; ls"}', b'{"command": "run"}', b"\xff"])
def test_what_is_no_request_is_refused(client: FlaskClient, service: Service, body: bytes) -> None:
    problem(client.post("/runs", data=body, headers=LOGIN, content_type="application/json"), 400)
    assert service.store.newest(1) == []


@pytest.mark.parametrize(
    "path", ["/", "/docs/", "/health", "/health/live", "/metrics", "/runs", "/runs/1", "/x"]
)
def test_a_query_that_is_not_utf_8_is_refused_on_every_route(client: FlaskClient, path: str) -> None:
    assert "not UTF-8" in problem(client.get(f"{path}?x=%ff", headers=LOGIN), 400)
    assert "not UTF-8" in problem(client.post(f"{path}?%fe=1", headers=LOGIN), 400)


def test_other_kinds_and_sizes_of_bodies_are_refused(client: FlaskClient) -> None:
    problem(client.post("/runs", data="select=ratings", headers=LOGIN), 415)
    problem(client.post("/runs", data=b" " * 20_000, headers=LOGIN, content_type="application/json"), 413)
    problem(client.post("/runs", json={}, headers=LOGIN | {"Idempotency-Key": "é" * 3}), 400)


def test_a_full_queue_says_when_to_come_back(client: FlaskClient) -> None:
    for number in range(MOST_QUEUED):
        client.post("/runs", json={"select": f"model_{number}"}, headers=LOGIN)
    answer = client.post("/runs", json={}, headers=LOGIN)
    problem(answer, 503)
    assert answer.headers["Retry-After"]


def test_what_is_not_there_is_told_in_the_same_form(client: FlaskClient) -> None:
    assert "GET /runs lists them" in problem(client.get("/runs/unknown", headers=LOGIN), 404)
    problem(client.get("/nowhere"), 404)
    answer = client.put("/runs", headers=LOGIN)
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_health_says_what_is_missing(client: FlaskClient) -> None:
    assert client.get("/health/live").json == {"status": "ok"}
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json
    thread, warehouse = answer.json["faults"]
    assert thread == "no thread takes runs"
    assert f"ClickHouse at 127.0.0.1:{UNUSED_PORT} does not answer" in warehouse
    habitual = client.get("/health")
    assert (habitual.status_code, habitual.json) == (answer.status_code, answer.json)


def test_an_exported_flask_debug_has_no_say(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    assert not create_app(service).debug


def test_metrics_count_what_waits(client: FlaskClient) -> None:
    client.post("/runs", json={}, headers=LOGIN)
    text = client.get("/metrics").text
    assert 'dbt_runs_unfinished{status="queued"} 1.0' in text
    assert 'dbt_runs_total{status="failed"} 0.0' in text


def test_the_documentation_is_shown_and_may_fetch_nothing(client: FlaskClient, service: Service) -> None:
    assert "POST /runs" in problem(client.get("/docs/"), 404)
    service.folders.docs_page.write_text("<html>tables</html>")
    with client.get("/", follow_redirects=True) as answer:
        assert answer.data == b"<html>tables</html>"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
