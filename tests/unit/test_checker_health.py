"""How answers of the servers are judged."""

from dataflix_checker.health import Slot, behind, read_connector


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
