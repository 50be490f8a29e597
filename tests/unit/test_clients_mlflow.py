"""Answers of MLflow that no test can have from a real server: several pages, gaps, transient failures."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dataflix_clients import mlflow
from dataflix_clients.mlflow import Registry
from dataflix_contract import Settings

VERSION = {"version": "3", "status": "READY", "creation_timestamp": 1_700_000_000_000}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """Call it with the answers to come; it returns the list to which the requests are added."""

    def answer_with(*answers: httpx.Response | Exception) -> list[httpx.Request]:
        sent: list[httpx.Request] = []
        waiting = iter(answers)

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            found = next(waiting)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(mlflow, "http", httpx.Client(transport=httpx.MockTransport(answer)))
        return sent

    monkeypatch.setattr(Registry._request.retry, "sleep", lambda _seconds: None)
    return answer_with


def refusal(status: int, code: str, message: str = "so it is") -> httpx.Response:
    return httpx.Response(status, json={"error_code": code, "message": message})


def tagged(number: int, run_id: str) -> dict[str, Any]:
    return VERSION | {"version": str(number), "tags": [{"key": mlflow.RUN_TAG, "value": run_id}]}


def test_versions_are_read_page_by_page(requests: Callable[..., list[httpx.Request]]) -> None:
    first = {"model_versions": [tagged(1, "a"), tagged(3, "b")], "next_page_token": "more"}
    sent = requests(httpx.Response(200, json=first), httpx.Response(200, json={"model_versions": [VERSION]}))
    assert [one.number for one in Registry(Settings()).versions()] == [3, 3, 1]
    assert [request.url.params["page_token"] for request in sent] == ["", "more"]


@pytest.mark.parametrize(("run_id", "number"), [("a", 4), ("b", 2), ("c", None)])
def test_the_newest_version_of_a_run_is_found(
    requests: Callable[..., list[httpx.Request]], run_id: str, number: int | None
) -> None:
    requests(httpx.Response(200, json={"model_versions": [tagged(1, "a"), tagged(2, "b"), tagged(4, "a")]}))
    assert Registry(Settings()).of_run(run_id) == number


def test_what_the_answer_leaves_out_is_empty(requests: Callable[..., list[httpx.Request]]) -> None:
    requests(
        httpx.Response(200, json={"registered_model": {"name": "x"}}),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"model_version": VERSION}),
    )
    registry = Registry(Settings())
    assert registry.aliases() == {}
    assert registry.versions() == []
    champion = registry.champion()
    assert champion
    assert (champion.number, champion.run_id, champion.tags) == (3, "", {})


def test_no_model_is_no_fault(requests: Callable[..., list[httpx.Request]]) -> None:
    requests(
        refusal(404, "RESOURCE_DOES_NOT_EXIST"),
        refusal(404, "RESOURCE_DOES_NOT_EXIST"),
        refusal(400, "INVALID_PARAMETER_VALUE"),
    )
    registry = Registry(Settings())
    assert registry.aliases() == {}
    assert registry.champion() is None
    assert registry.champion() is None


@pytest.mark.parametrize(
    "failure",
    [
        refusal(503, "TEMPORARILY_UNAVAILABLE"),
        httpx.Response(502, text="<html>"),
        httpx.Response(429, json={}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("timed out"),
    ],
)
def test_a_request_is_sent_again_after_a_transient_failure(
    requests: Callable[..., list[httpx.Request]], failure: httpx.Response | Exception
) -> None:
    sent = requests(failure, failure, failure, httpx.Response(200, json={}))
    Registry(Settings()).challenge(3)
    assert [(request.method, json.loads(request.content)) for request in sent] == [
        ("POST", {"name": "dataflix-recommender", "alias": "challenger", "version": "3"})
    ] * 4


@pytest.mark.parametrize(
    ("answer", "attempts", "words"),
    [
        (refusal(400, "BAD_REQUEST", "out of range"), 1, "BAD_REQUEST: out of range"),
        (refusal(503, "TEMPORARILY_UNAVAILABLE", "the database"), 4, "TEMPORARILY_UNAVAILABLE: the database"),
        (httpx.Response(500, text="<html>"), 4, "500 Internal Server Error"),
        (httpx.Response(404, json={"detail": "Not Found"}), 1, "status 404"),
    ],
)
def test_mlflows_own_reason_is_kept(
    requests: Callable[..., list[httpx.Request]], answer: httpx.Response, attempts: int, words: str
) -> None:
    sent = requests(*[answer] * attempts)
    with pytest.raises(httpx.HTTPStatusError, match=words):
        Registry(Settings()).describe(3, "text")
    assert len(sent) == attempts


@pytest.mark.parametrize("status", [200, 404])
def test_another_server_is_recognised(requests: Callable[..., list[httpx.Request]], status: int) -> None:
    requests(httpx.Response(status, text="<html>"))
    with pytest.raises(LookupError, match="another server answers at 127"):
        Registry(Settings()).challenge(3)
