"""How answers of the servers are judged."""

from concurrent.futures import Future

import pytest

from dataflix_clients.airflow import newest_run
from dataflix_clients.answers import Unknown, ask
from dataflix_clients.batch import Batch, LastRun, Outcome, Reconciled, Refusal, last_run_of
from dataflix_clients.capture import judge_answers
from dataflix_clients.connect import Connector, ConnectorStatus, Offsets
from dataflix_clients.kafka import Backlog, Bounds, CaptureTopics, count_lag, result_of
from dataflix_clients.stack_status import StackStatus
from dataflix_contract import Settings
from support.source_facts import SOUND, with_slot


def test_lag_counts_from_the_committed_offset_or_from_the_oldest_record() -> None:
    one, two = ("t", 0), ("t", 1)
    assert count_lag({one: Bounds(0, 10), two: Bounds(3, 8)}, {one: 7}) == 3 + 5


def test_records_that_retention_removed_are_no_lag() -> None:
    assert count_lag({("t", 0): Bounds(9, 9)}, {("t", 0): 2}) == 0


def test_a_server_that_does_not_answer_is_a_fault_and_the_others_are_judged() -> None:
    capture = judge_answers(SOUND, Unknown("refused"), CaptureTopics(("cdc.public.users",), 1.0), Settings())
    assert capture.slot == SOUND.slot
    away, topic = capture.faults
    assert away == "Kafka Connect: refused"
    assert "dataflix-connector topics" in topic


def test_a_request_that_kafka_does_not_answer_in_time_is_a_fault() -> None:
    request: Future[int] = Future()
    found = ask(lambda _settings: result_of(request, 0.01), Settings())
    assert isinstance(found, Unknown)
    assert "Timed out" in found.fault
    request.set_result(3)
    assert ask(lambda _settings: result_of(request, 0.01), Settings()) == 3


def test_what_kafka_does_not_say_is_null_and_not_zero() -> None:
    capture = judge_answers(SOUND, None, CaptureTopics((), 1.0), Settings())
    plain = StackStatus([], capture, Unknown("refused"), None).plain()
    assert (plain["lag"], plain["dead_letters"], plain["faults"]) == (None, None, ["backlog: refused"])
    plain = StackStatus([], capture, Backlog({"masker": 3}, 2), None).plain()
    assert (plain["lag"], plain["dead_letters"], plain["faults"]) == ({"masker": 3}, 2, [])


def test_a_lost_slot_names_the_cure() -> None:
    connector = Connector(ConnectorStatus("RUNNING", "RUNNING"), Offsets(stored=True, snapshotting=False))
    topics = CaptureTopics((), 1.0)
    [fault] = judge_answers(
        with_slot(wal_status="lost", active_pid=None), connector, topics, Settings()
    ).faults
    assert "resnapshot" in fault
    assert judge_answers(SOUND, connector, topics, Settings()).faults == []


def test_rows_whose_user_or_film_is_gone_are_a_warning_with_the_statement_that_removes_them() -> None:
    found = Reconciled("r", 10, 0, 0, 0, "2026-01-31T04:00:00Z", {"ratings": 1234})
    batch = Batch(LastRun("r", "success", ""), found, 1)
    status = StackStatus(
        [], judge_answers(SOUND, None, CaptureTopics((), 1.0), Settings()), Backlog({}, 0), batch
    )
    [told] = status.warnings
    assert status.plain()["warnings"] == [told]
    assert told.startswith("table public.ratings ")
    assert "1,234" in told
    assert told.endswith(
        "DELETE FROM public.ratings AS orphan"
        " WHERE NOT EXISTS (SELECT FROM public.users AS owner WHERE owner.user_id = orphan.user_id)"
        " OR NOT EXISTS (SELECT FROM public.movies AS owner WHERE owner.movie_id = orphan.movie_id)"
    )
    assert status.faults == []


def test_the_newest_run_is_the_first_that_airflow_lists() -> None:
    newest = {"dag_run_id": "manual__1", "state": "failed", "start_date": None, "end_date": None}
    run = last_run_of(newest_run({"dag_runs": [newest], "total_entries": 7}))
    assert (run.state, run.ended) == ("failed", "")
    assert "manual__1" in run.fault


def test_a_batch_that_never_ran_is_no_fault() -> None:
    assert last_run_of(newest_run({"dag_runs": [], "total_entries": 0})).fault == ""


FAILED = LastRun("r2", "failed", "2026-01-31T04:00:00Z")
WHY = "dbt: dbt tests failed: email_is_a_pseudonym on users"


@pytest.mark.parametrize(
    ("run", "outcome", "fault"),
    [
        (FAILED, Outcome("r2", "failed", WHY), f"run r2 failed: {WHY}; see bin/dataflix-pipeline status"),
        (FAILED, Outcome("r1", "failed", WHY), "run r2 failed: see Airflow"),
        (FAILED, Unknown("ClickHouse is away"), "run r2 failed: see Airflow"),
        (LastRun("r2", "success", ""), Outcome("r2", "success", "no model was trained: too few"), ""),
        (Unknown("Airflow is away"), Outcome("r2", "failed", WHY), "Airflow is away"),
    ],
)
def test_a_failed_run_s_fault_is_its_reason(
    run: LastRun | Unknown, outcome: Outcome | Unknown, fault: str
) -> None:
    assert Batch(run, Unknown(""), 0, outcome).fault == fault


OTHER = Refusal(3, "other_catalogue", "made for another catalogue; popular films are served until then")


@pytest.mark.parametrize(
    ("champion", "refusal", "told"),
    [
        (3, OTHER, f"version 3, not served: {OTHER.why}"),
        (4, OTHER, "version 4"),
        (3, None, "version 3"),
        (3, Unknown("refused"), "version 3; whether it is served is not known: refused"),
        (0, None, "none yet"),
        (Unknown("refused"), OTHER, ""),
    ],
)
def test_a_champion_that_is_not_served_is_said_to_be_so(
    champion: int | Unknown, refusal: Refusal | Unknown | None, told: str
) -> None:
    assert Batch(FAILED, Unknown(""), champion, refusal=refusal).champion_description == told


def test_a_run_without_a_new_champion_says_why_and_is_no_fault() -> None:
    outcome = Outcome("r2", "success", "no model was trained: too few")
    assert Batch(LastRun("r2", "success", ""), Unknown(""), 0, outcome).reason == outcome.reason
    assert Batch(LastRun("r3", "running", ""), Unknown(""), 0, outcome).reason == ""
