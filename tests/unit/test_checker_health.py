"""How answers of the servers are judged."""

import pytest

from dataflix_checker.health import (
    Batch,
    Outcome,
    Run,
    Slot,
    Unknown,
    behind,
    read_connector,
    read_run,
)


def test_lag_counts_from_the_committed_offset_or_from_the_oldest_record() -> None:
    one, two = ("t", 0), ("t", 1)
    assert behind([one, two], {one: 7}, {one: 0, two: 3}, {one: 10, two: 8}) == 3 + 5


def test_records_that_retention_removed_are_no_lag() -> None:
    assert behind([("t", 0)], {("t", 0): 2}, {("t", 0): 9}, {("t", 0): 9}) == 0


def test_a_running_connector_has_no_fault() -> None:
    status = {"connector": {"state": "RUNNING"}, "tasks": [{"state": "RUNNING"}]}
    assert read_connector(status).fault == ""


def test_a_failed_task_shows_the_first_line_of_its_trace() -> None:
    task = {"state": "FAILED", "trace": "org.x.Broken: no slot\n\tat somewhere"}
    fault = read_connector({"connector": {"state": "RUNNING"}, "tasks": [task]}).fault
    assert fault == "connector RUNNING, task FAILED: org.x.Broken: no slot"


def test_a_connector_without_a_task_does_not_work() -> None:
    assert "no task" in read_connector({"connector": {"state": "RUNNING"}, "tasks": []}).fault


def test_a_lost_slot_names_the_cure() -> None:
    assert "resnapshot" in Slot("dataflix", active=False, wal_status="lost", held_bytes=0).fault
    assert Slot("dataflix", active=True, wal_status="reserved", held_bytes=5).fault == ""


def test_the_newest_run_is_the_first_that_airflow_lists() -> None:
    newest = {"dag_run_id": "manual__1", "state": "failed", "end_date": None}
    run = read_run({"dag_runs": [newest], "total_entries": 7})
    assert (run.state, run.ended) == ("failed", "")
    assert "manual__1" in run.fault


def test_a_batch_that_never_ran_is_no_fault() -> None:
    assert read_run({"dag_runs": [], "total_entries": 0}).fault == ""


FAILED = Run("r2", "failed", "2026-01-31T04:00:00Z")
WHY = "dbt: dbt tests failed: email_is_a_pseudonym on users"


@pytest.mark.parametrize(
    ("run", "outcome", "fault"),
    [
        (FAILED, Outcome("r2", "failed", WHY), f"run r2 failed: {WHY}; see bin/dataflix-pipeline status"),
        (FAILED, Outcome("r1", "failed", WHY), "run r2 failed: see Airflow"),
        (FAILED, Unknown("ClickHouse is away"), "run r2 failed: see Airflow"),
        (Run("r2", "success", ""), Outcome("r2", "success", "no model was trained: too few"), ""),
        (Unknown("Airflow is away"), Outcome("r2", "failed", WHY), "Airflow is away"),
    ],
)
def test_a_failed_run_s_fault_is_its_reason(
    run: Run | Unknown, outcome: Outcome | Unknown, fault: str
) -> None:
    assert Batch(run, Unknown(""), 0, outcome).fault == fault


def test_a_run_without_a_new_champion_says_why_and_is_no_fault() -> None:
    outcome = Outcome("r2", "success", "no model was trained: too few")
    assert Batch(Run("r2", "success", ""), Unknown(""), 0, outcome).reason == outcome.reason
    assert Batch(Run("r3", "running", ""), Unknown(""), 0, outcome).reason == ""
