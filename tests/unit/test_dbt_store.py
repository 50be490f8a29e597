"""The runs of the dbt webhook on disk."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataflix_dbt.run_store import Store
from dataflix_dbt.runs import MOST_QUEUED, KeyReusedError, NodeResult, QueueFullError, Run, RunRequest, Status

ALL = RunRequest()
RESULT = NodeResult("test.dataflix.keys.1", "keys", "test", "fail", "2 rows", 2, 0.25)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs.sqlite")


def claimed(store: Store) -> Run:
    run = store.claim()
    assert run
    return run


def test_runs_are_done_in_the_order_of_the_requests(store: Store) -> None:
    asked = [store.request_run(RunRequest(name), None).id for name in ("c", "a", "b")]
    assert [claimed(store).id for _ in asked] == asked
    assert store.claim() is None


def test_a_run_tells_its_whole_way(store: Store) -> None:
    run = store.request_run(RunRequest("ratings", full_refresh=True), None)
    assert (run.status, run.started_at) == (Status.QUEUED, None)
    started = claimed(store)
    assert started.status is Status.RUNNING
    store.finish(run.id, Status.FAILED, "1 test failed: keys", [RESULT])
    found = store.get(run.id)
    assert found
    assert found.started_at
    assert found.finished_at
    assert found.created_at <= found.started_at <= found.finished_at
    assert (found.status, found.error, found.results) == (Status.FAILED, "1 test failed: keys", (RESULT,))
    assert found.request == RunRequest("ratings", full_refresh=True)
    assert store.get("unknown") is None


def test_what_waits_is_joined_and_what_runs_is_not(store: Store) -> None:
    first = store.request_run(ALL, None)
    assert store.request_run(ALL, None).id == first.id
    claimed(store)
    second = store.request_run(ALL, None)
    assert second.id != first.id
    assert store.request_run(ALL, "key").id == second.id


def test_a_key_is_answered_with_its_run_until_that_fails(store: Store) -> None:
    first = store.request_run(ALL, "daily")
    claimed(store)
    assert store.request_run(ALL, "daily").id == first.id
    store.finish(first.id, Status.FAILED, "no", [])
    second = store.request_run(ALL, "daily")
    assert second.id != first.id
    claimed(store)
    store.finish(second.id, Status.SUCCEEDED, None, [])
    assert store.request_run(ALL, "daily") == store.get(second.id)
    with pytest.raises(KeyReusedError):
        store.request_run(RunRequest("ratings"), "daily")


def test_a_key_that_joined_finds_what_it_joined(store: Store) -> None:
    first = store.request_run(ALL, "one")
    assert store.request_run(ALL, "two").id == first.id
    store.finish(claimed(store).id, Status.SUCCEEDED, None, [])
    assert store.request_run(ALL, "two").id == first.id


def test_many_who_ask_at_once_get_one_run(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = {run.id for run in pool.map(lambda _: store.request_run(ALL, "key"), range(40))}
    assert len(ids) == 1
    assert store.count(Status.QUEUED) == 1


def test_a_run_is_claimed_once(store: Store) -> None:
    store.request_run(ALL, None)
    with ThreadPoolExecutor(8) as pool:
        found = [run for run in pool.map(lambda _: store.claim(), range(16)) if run]
    assert len(found) == 1


def test_the_queue_has_an_end(store: Store) -> None:
    for number in range(MOST_QUEUED):
        store.request_run(RunRequest(f"model_{number}"), None)
    with pytest.raises(QueueFullError):
        store.request_run(ALL, None)


def test_a_new_server_finds_what_the_dead_one_left(store: Store, tmp_path: Path) -> None:
    running, waiting = store.request_run(ALL, "key"), store.request_run(RunRequest("ratings"), None)
    claimed(store)
    again = Store(tmp_path / "runs.sqlite")
    assert again.interrupt_running("it died") == [running.id]
    found = again.get(running.id)
    assert found
    assert (found.status, found.error) == (Status.INTERRUPTED, "it died")
    assert found.finished_at
    assert claimed(again).id == waiting.id
    assert again.request_run(ALL, "key").id not in (running.id, waiting.id)


def test_only_old_finished_runs_are_forgotten(store: Store) -> None:
    ids = [store.request_run(RunRequest(f"model_{number}"), f"key {number}").id for number in range(5)]
    for run_id in ids[:4]:
        assert claimed(store).id == run_id
    for run_id in ids[1:4]:  # the first one still runs, the last one waits
        store.finish(run_id, Status.SUCCEEDED, None, [])
    assert store.prune(keep=2) == ids[1:3]
    assert {run.id for run in store.newest(10)} == {ids[0], ids[3], ids[4]}
    assert store.request_run(RunRequest("model_1"), "key 1").id not in ids


def test_a_store_that_can_be_written_to_says_nothing(store: Store) -> None:
    store.check()
