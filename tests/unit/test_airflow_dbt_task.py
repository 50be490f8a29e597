"""Firing the dbt webhook and waiting for it, against a small server that goes wrong on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from dataflix_airflow.dbt_task import DbtError, DbtTestsFailedError, Timeouts, run_dbt
from dataflix_contract import Settings

TIMEOUTS = Timeouts(outage=5.0, poll=0.01, answer=1.0)
SHORT_TIMEOUTS = Timeouts(outage=0.1, poll=0.01, answer=1.0)
MODEL = {"name": "ratings", "resource_type": "model", "status": "success", "message": "OK"}
PASSED = {"name": "unique_ratings", "resource_type": "test", "status": "pass", "message": None}


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


def run(status: str, *results: dict[str, Any], error: str | None = None) -> dict[str, Any]:
    return {"id": "r1", "status": status, "error": error, "results": list(results)}


class Webhook:
    """Answers each request with the next of its answers, the last one again and again."""

    def __init__(self, port: int = 0) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[Asked] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                webhook.answer(self)

            def do_POST(self) -> None:
                webhook.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length", 0))
        body = json.loads(request.rfile.read(length)) if length else None
        self.asked.append(Asked(request.command, request.path, dict(request.headers), body))
        status, told = (200, "line 1\nline 2") if request.path.endswith("/logs") else self._next()
        content = told.encode() if isinstance(told, str) else json.dumps(told).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _next(self) -> tuple[int, Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def start() -> Iterator[Callable[..., Webhook]]:
    """Starts a webhook; all are stopped at the end."""
    started: list[Webhook] = []

    def start(*answers: tuple[int, Any], port: int = 0) -> Webhook:
        webhook = Webhook(port)
        webhook.answers = list(answers)
        started.append(webhook)
        return webhook

    yield start
    for webhook in started:
        webhook.stop()


def of(webhook: Webhook) -> Settings:
    return Settings(_env_file=None, dbt_port=webhook.port)


def test_fires_once_and_waits_for_the_end(
    start: Callable[..., Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    done = run("succeeded", MODEL, PASSED)
    webhook = start((202, run("queued")), (200, run("running")), (200, run("running")), (200, done))
    with caplog.at_level("INFO"):
        assert run_dbt(of(webhook), "manual__1+00:00", full_refresh=True, timeouts=TIMEOUTS) == done
    fired = webhook.asked[0]
    assert (fired.method, fired.path, fired.body) == ("POST", "/runs", {"full_refresh": True})
    assert fired.headers["Idempotency-Key"] == "manual__1+00:00"
    assert fired.headers["Authorization"] == "Bearer local-only-dbt-token"
    assert [one.method for one in webhook.asked].count("POST") == 1
    assert "dbt: line 2" in caplog.messages


def test_a_server_that_is_not_there_yet_is_waited_for(start: Callable[..., Webhook]) -> None:
    webhook = start((503, {"title": "Service Unavailable"}), (202, run("queued")), (200, run("succeeded")))
    assert run_dbt(of(webhook), "1", timeouts=TIMEOUTS)["status"] == "succeeded"


def test_a_server_that_restarts_meanwhile_is_waited_for(start: Callable[..., Webhook]) -> None:
    first = start((202, run("running")))
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(run_dbt(of(first), "1", timeouts=TIMEOUTS)))
    waiting.start()
    while len(first.asked) < 3:
        threading.Event().wait(0.01)
    first.stop()
    start((200, run("succeeded", MODEL)), port=first.port)
    waiting.join(timeout=30)
    assert [answer["status"] for answer in answers] == ["succeeded"]


def test_a_server_that_stays_away_is_a_fault_in_time(start: Callable[..., Webhook]) -> None:
    webhook = start((502, "bad gateway"))
    with pytest.raises(DbtError, match=r"no answer of the dbt webhook for 0\.1 s: 502 bad gateway"):
        run_dbt(of(webhook), "1", timeouts=SHORT_TIMEOUTS)
    webhook.stop()
    with pytest.raises(DbtError, match="ConnectError"):
        run_dbt(of(webhook), "1", timeouts=SHORT_TIMEOUTS)


def test_a_refusal_is_told_and_not_repeated(start: Callable[..., Webhook]) -> None:
    webhook = start((401, {"title": "Unauthorized", "detail": "wrong token"}))
    with pytest.raises(DbtError, match="refuses: 401 Unauthorized: wrong token"):
        run_dbt(of(webhook), "1", timeouts=TIMEOUTS)
    assert len(webhook.asked) == 1


def test_an_interrupted_run_is_for_the_retry(start: Callable[..., Webhook]) -> None:
    webhook = start((202, run("running")), (200, run("interrupted")))
    with pytest.raises(DbtError, match="interrupted") as caught:
        run_dbt(of(webhook), "1", timeouts=TIMEOUTS)
    assert not isinstance(caught.value, DbtTestsFailedError)


def test_failed_tests_are_named_and_final(start: Callable[..., Webhook]) -> None:
    failed = PASSED | {"status": "fail", "name": "no_plain_addresses"}
    skipped = MODEL | {"status": "skipped"}
    webhook = start((202, run("failed", MODEL, PASSED, failed, skipped, error="1 test failed")))
    with pytest.raises(DbtTestsFailedError, match=r"^dbt tests failed: no_plain_addresses$"):
        run_dbt(of(webhook), "1", timeouts=TIMEOUTS)


def test_failed_tests_are_named_with_their_models_and_not_all_of_them(start: Callable[..., Webhook]) -> None:
    failed = [
        PASSED | {"status": "fail", "name": f"test_{number}", "subject": "users"} for number in range(12)
    ]
    webhook = start((202, run("failed", *failed)))
    with pytest.raises(
        DbtTestsFailedError, match=r"test_0 on users, test_1 on .*test_9 on users and 2 more$"
    ):
        run_dbt(of(webhook), "1", timeouts=TIMEOUTS)


def test_a_run_that_broke_says_nothing_about_the_data(start: Callable[..., Webhook]) -> None:
    failed = PASSED | {"status": "fail"}
    broken = MODEL | {"status": "error", "message": "connection refused"}
    webhook = start((202, run("failed", broken, failed, error="ratings (connection refused)")))
    with pytest.raises(DbtError, match="connection refused") as caught:
        run_dbt(of(webhook), "1", timeouts=TIMEOUTS)
    assert not isinstance(caught.value, DbtTestsFailedError)
