"""What may be asked of the dbt webhook, which run answers it, and what dbt's artefacts say."""

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
    describe_failures,
    node_results,
    parse_key,
    parse_request,
    source_results,
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


def node(
    unique_id: str, status: str, message: str | None = None, failures: int | None = None
) -> dict[str, Any]:
    return {
        "unique_id": unique_id,
        "status": status,
        "message": message,
        "failures": failures,
        "execution_time": 0.12345,
    }


def test_nodes_have_names_and_kinds() -> None:
    found = node_results(
        {
            "results": [
                node("model.dataflix.ratings", "success", "OK"),
                node("test.dataflix.unique_users_user_id.c5b6", "fail", "Got 2 results", 2),
                node("test.dataflix.matrix_has_every_rating", "pass", failures=0),
                node("unit_test.dataflix.movies.bayesian", "pass", failures=0),
                node("exposure.dataflix.recommender", "no-op"),
            ]
        }
    )
    assert [(one.resource_type, one.name) for one in found] == [
        ("model", "ratings"),
        ("test", "unique_users_user_id"),
        ("test", "matrix_has_every_rating"),
        ("unit_test", "movies.bayesian"),
    ]
    assert found[1] == NodeResult(
        "test.dataflix.unique_users_user_id.c5b6",
        "unique_users_user_id",
        "test",
        "fail",
        "Got 2 results",
        2,
        0.123,
    )


def test_sources_are_there_whether_they_were_read_or_not() -> None:
    found = source_results(
        {
            "results": [
                {"unique_id": "source.dataflix.raw.users", "status": "warn", "execution_time": 0.5},
                {
                    "unique_id": "source.dataflix.raw.gone",
                    "status": "runtime error",
                    "error": "no table",
                },
            ]
        }
    )
    assert [(one.name, one.status, one.message) for one in found] == [
        ("raw.users", "warn", None),
        ("raw.gone", "runtime error", "no table"),
    ]
    assert [one.failed for one in found] == [False, True]


def test_nothing_failed() -> None:
    passed = [
        node("model.dataflix.a", "success"),
        node("test.dataflix.b", "pass"),
        node("test.dataflix.c", "warn"),
    ]
    assert describe_failures(node_results({"results": passed})) is None


def test_failures_are_told_by_kind_with_the_reason() -> None:
    results = node_results(
        {
            "results": [
                node("model.dataflix.ratings", "error", "Database Error in model x\n  Connection refused"),
                node("test.dataflix.keys.1", "fail", "Got 3 results", 3),
                node("test.dataflix.range.2", "fail", "Got 1 result", 1),
                node("model.dataflix.movies", "skipped"),
            ]
        }
    )
    assert describe_failures(results) == (
        "1 model failed: ratings (Connection refused); 2 tests failed: keys (3 rows), range (1 row);"
        " skipped for it: movies"
    )


def test_long_lists_and_long_messages_are_cut() -> None:
    many = node_results({"results": [node(f"model.dataflix.m{n}", "error", "x" * 9_000) for n in range(50)]})
    text = describe_failures(many)
    assert text
    assert text.startswith("50 models failed: m0 (xxx")
    assert len(text) < 1_200
    assert all(len(one.message or "") == 2_000 for one in many)


def test_a_failed_test_is_told_with_the_model_that_it_looks_at() -> None:
    generic, singular = "test.dataflix.email_is_a_pseudonym.c5b6", "test.dataflix.matrix_has_every_rating"
    reads = ["model.dataflix.user_movie_matrix", "source.dataflix.raw.ratings"]
    manifest = {
        "nodes": {
            generic: {"resource_type": "test", "attached_node": "model.dataflix.users"},
            singular: {"resource_type": "test", "attached_node": None, "depends_on": {"nodes": reads}},
            "model.dataflix.users": {"resource_type": "model", "depends_on": {"nodes": []}},
        }
    }
    ended = [node(generic, "fail", failures=1), node(singular, "fail", failures=2)]
    results = node_results({"results": [*ended, node("model.dataflix.users", "success")]}, manifest)
    assert [one.subject for one in results] == ["users", "user_movie_matrix, raw.ratings", ""]
    assert describe_failures(results) == (
        "2 tests failed: email_is_a_pseudonym on users (1 row),"
        " matrix_has_every_rating on user_movie_matrix, raw.ratings (2 rows)"
    )
