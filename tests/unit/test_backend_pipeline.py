"""The live view's figures, and what a server that is away does to them."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

from dataflix_backend.page.latency import Change, Reading, between, events_of, newest, read_change, summarise
from dataflix_backend.page.pipeline import CachedProbe, links
from dataflix_clients.answers import Unknown
from dataflix_contract import Settings, tables

SETTINGS = Settings()
METRICS = """\
# HELP masker_events_total Messages read.
# TYPE masker_events_total counter
masker_events_total{op="c",outcome="masked",table="users"} 500.0
masker_events_total{op="u",outcome="refused",table="ratings"} 24.0
# HELP masker_events_created Messages read.
# TYPE masker_events_created gauge
masker_events_created{op="c",outcome="masked",table="users"} 1.79e+09
# HELP masker_bytes_in_total Bytes of values read.
# TYPE masker_bytes_in_total counter
masker_bytes_in_total{table="users"} 336745.0
"""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def change(committed: int, captured: int, masked: int, version: int = 1) -> Change:
    return Change("ratings", (1, 2), version, committed, captured, masked)


def test_every_message_of_every_table_and_outcome_counts() -> None:
    assert events_of(METRICS) == 524


def test_the_rate_is_of_the_time_between_two_readings() -> None:
    assert between(Reading(10.0, 500), Reading(12.5, 1000)) == 200


def test_a_masker_that_was_started_anew_gives_no_negative_rate() -> None:
    assert between(Reading(10.0, 500), Reading(11.0, 20)) == 0


def test_stages_are_medians_from_the_commit() -> None:
    changes = [
        change(0, 10_000, 20_000, 1),
        change(0, 30_000, 40_000, 2),
        change(1_000_000, 1_050_000, 1_060_000, 3),
    ]
    found = summarise(changes, {("ratings", 1): 100_000, ("ratings", 3): 1_300_000})
    assert (found.captured_ms, found.masked_ms, found.queryable_ms) == (30, 40, 200)
    assert (found.at, found.changes) == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 3)


def test_what_is_not_in_clickhouse_yet_has_no_figure() -> None:
    assert summarise([change(0, 1, 2)], {}).queryable_ms is None


def test_changes_of_long_ago_do_not_count_with_those_of_now() -> None:
    now, old = change(0, 1, 1_795_567_622_000_000), change(0, 1, 1_795_567_022_000_000)
    assert newest([old, now]) == [now]
    assert newest([]) == []


@pytest.mark.parametrize("snapshot", ["false", "true", "last"])
def test_only_what_was_committed_has_times(snapshot: str) -> None:
    source = {"lsn": 7, "ts_us": 1_000, "snapshot": snapshot}
    value = json.dumps({"op": "u", "version": 7, "source": source, "ts_us": 2_000}).encode()
    found = read_change(tables()["ratings"], b'{"user_id":1,"movie_id":2}', value, 3_000)
    assert found == (Change("ratings", (1, 2), 7, 1_000, 2_000, 3_000) if snapshot == "false" else None)


def test_an_answer_is_kept_for_its_time(threads: ThreadPoolExecutor) -> None:
    asked: list[Settings] = []
    part = CachedProbe("it", asked.append, seconds=3600)
    first = part.begin(threads, SETTINGS)
    assert first is not None
    first.result()
    assert part.end() is None
    assert part.begin(threads, SETTINGS) is None
    assert len(asked) == 1


def away(_settings: Settings) -> None:
    raise httpx.ConnectError("refused")


def garbled(_settings: Settings) -> None:
    json.loads("<html>")


@pytest.mark.parametrize("question", [away, garbled])
def test_a_servers_fault_is_an_answer(
    threads: ThreadPoolExecutor, question: Callable[[Settings], None]
) -> None:
    part = CachedProbe("it", question, seconds=0)
    begun = part.begin(threads, SETTINGS)
    assert begun is not None
    begun.result()
    assert isinstance(part.end(), Unknown)


def test_a_server_that_hangs_is_asked_once_and_waited_for_by_nobody(threads: ThreadPoolExecutor) -> None:
    hanging = threading.Event()
    part = CachedProbe("it", lambda _settings: hanging.wait(), seconds=0)
    begun = part.begin(threads, SETTINGS)
    assert begun is not None
    assert part.end() == Unknown("no answer in time")
    assert part.begin(threads, SETTINGS) is None
    hanging.set()
    assert begun.result() is True
    assert part.end() is True


def test_a_busy_servers_last_answer_is_kept_for_a_while(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, busy, answers = [0.0], threading.Event(), iter([1, 2])
    monkeypatch.setattr("dataflix_backend.page.pipeline.time", SimpleNamespace(monotonic=lambda: now[0]))

    def question(_settings: Settings) -> int:
        answer = next(answers)
        if answer > 1:
            busy.wait()
        return answer

    part = CachedProbe("it", question, seconds=1)
    first = part.begin(threads, SETTINGS)
    assert first is not None
    first.result()
    assert part.end() == 1
    now[0] = 2.0
    second = part.begin(threads, SETTINGS)
    assert second is not None
    assert part.end() == 1
    now[0] = 12.0
    assert part.end() == Unknown("no answer in time")
    busy.set()
    second.result()
    assert part.end() == 2


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("box", "box")])
def test_links_lead_to_the_host_that_the_client_knows(host: str, name: str) -> None:
    found = links(Settings(airflow_host="airflow", airflow_port=18080), host)
    assert found.airflow == f"http://{name}:18080"
    assert found.api_docs == "/docs"
