"""What may be asked of the dbt webhook, and which run answers it."""

from typing import Any

import pytest

from dataflix_dbt.runs import (
    MOST_QUEUED,
    KeyReusedError,
    NodeResult,
    QueueFullError,
    RequestError,
    Run,
    RunRequest,
    Status,
    answering_run,
    parse_key,
    parse_request,
)

ALL = RunRequest()


def run(status: Status, request: RunRequest = ALL, name: str = "a") -> Run:
    return Run(name, request, status, "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, ALL),
        ({"select": None}, ALL),
        ({"select": "ratings+", "full_refresh": True}, RunRequest("ratings+", full_refresh=True)),
        (
            {"select": "tag:daily,@users 1+movies path:models/marts"},
            RunRequest("tag:daily,@users 1+movies path:models/marts"),
        ),
        ({"select": "*"}, RunRequest("*")),
    ],
)
def test_requests_that_can_be_obeyed(body: Any, wanted: RunRequest) -> None:
    assert parse_request(body) == wanted


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "ratings",
        {"selector": "ratings"},
        {"full_refresh": "yes"},
        {"full_refresh": 1},
        {"select": 7},
        {"select": ""},
        {"select": " ratings"},
        {"select": "ratings  users"},
        {"select": "ratings\nusers"},
        {"select": "--vars"},
        {"select": "ratings --full-refresh"},
        {"select": "ratings; rm -r /"},
        {"select": "$(id)"},
        {"select": "`id`"},
        {"select": "{{ env_var('HOME') }}"},
        {"select": "../../etc/passwd"},
        {"select": "a" * 501},
    ],
)
def test_requests_that_cannot(body: Any) -> None:
    with pytest.raises(RequestError):
        parse_request(body)


@pytest.mark.parametrize(
    "key", [None, "a", "scheduled__2026-01-01T00:00:00+00:00", "with a space", "a" * 250]
)
def test_keys_that_are_taken(key: str | None) -> None:
    assert parse_key(key) == key


@pytest.mark.parametrize("key", ["", " a", "a ", "ä", "a\tb", "a" * 251])
def test_keys_that_are_not(key: str) -> None:
    with pytest.raises(RequestError):
        parse_key(key)


def test_an_equal_request_joins_the_run_that_waits() -> None:
    waiting = run(Status.QUEUED)
    assert answering_run(ALL, None, [waiting]) is waiting


def test_another_request_does_not() -> None:
    assert answering_run(RunRequest("ratings"), None, [run(Status.QUEUED)]) is None


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.SUCCEEDED])
def test_a_key_finds_its_run(status: Status) -> None:
    keyed = run(status)
    assert answering_run(ALL, keyed, []) is keyed


@pytest.mark.parametrize("status", [Status.FAILED, Status.INTERRUPTED])
def test_a_key_gets_another_attempt(status: Status) -> None:
    waiting = run(Status.QUEUED, name="b")
    assert answering_run(ALL, run(status), []) is None
    assert answering_run(ALL, run(status), [waiting]) is waiting


@pytest.mark.parametrize("status", list(Status))
def test_a_key_is_good_for_one_request(status: Status) -> None:
    with pytest.raises(KeyReusedError):
        answering_run(RunRequest("ratings"), run(status), [])


def test_a_full_queue_takes_nothing_new() -> None:
    waiting = [run(Status.QUEUED, RunRequest(f"model_{number}")) for number in range(MOST_QUEUED)]
    with pytest.raises(QueueFullError):
        answering_run(ALL, None, waiting)
    assert answering_run(RunRequest("model_3"), None, waiting) is waiting[3]


def test_failed_tests_are_named() -> None:
    def node(name: str, kind: str, status: str) -> NodeResult:
        return NodeResult(f"{kind}.dataflix.{name}", name, kind, status, None, None, 0.1)

    results = (
        node("ratings", "model", "error"),
        node("good", "test", "pass"),
        node("loose", "test", "warn"),
        node("bad", "test", "fail"),
        node("broken", "test", "error"),
        node("movies.wrong", "unit_test", "fail"),
        node("left", "test", "skipped"),
    )
    found = Run("a", ALL, Status.FAILED, "", results=results)
    assert found.failed_tests == ["bad", "broken", "movies.wrong"]
