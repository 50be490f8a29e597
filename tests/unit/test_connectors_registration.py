"""What a registration does, and what the status says, from what PostgreSQL and Connect hold."""

import dataclasses

import pytest

from dataflix_clients.connect import ConnectorStatus, Offsets, first_cause, parse_offsets, parse_status
from dataflix_clients.kafka import Bounds, behind
from dataflix_clients.replication_slot import SlotFacts, SlotState, slot_health
from dataflix_connectors.registration import Situation, decide

SLOT = SlotFacts("pgoutput", "dataflix_db", 77, "debezium", "reserved", 1000, 10, 5000)
LOST = dataclasses.replace(SLOT, wal_status="lost", active_pid=None)
RUNNING = ConnectorStatus("RUNNING", "RUNNING")
STOPPED = ConnectorStatus("STOPPED", "ABSENT")
NOTHING = Offsets(stored=False, snapshotting=False)
HALFWAY = Offsets(stored=True, snapshotting=True)
SETTLED = Offsets(stored=True, snapshotting=False)


@pytest.mark.parametrize(
    ("slot", "offsets", "status", "situation"),
    [
        (None, NOTHING, STOPPED, Situation.FRESH),
        (None, HALFWAY, RUNNING, Situation.FRESH),
        (SLOT, NOTHING, STOPPED, Situation.FRESH),
        (SLOT, HALFWAY, RUNNING, Situation.ESTABLISHED),
        (SLOT, NOTHING, RUNNING, Situation.ESTABLISHED),
        (SLOT, SETTLED, RUNNING, Situation.ESTABLISHED),
        (SLOT, SETTLED, STOPPED, Situation.ESTABLISHED),
        (None, SETTLED, RUNNING, Situation.LOST),
        (LOST, SETTLED, RUNNING, Situation.LOST),
        (LOST, HALFWAY, RUNNING, Situation.FRESH),
    ],
)
def test_the_situation(
    slot: SlotFacts | None, offsets: Offsets, status: ConnectorStatus, situation: Situation
) -> None:
    assert decide(slot, offsets, status) is situation


@pytest.mark.parametrize(
    ("slot", "state"),
    [
        (None, SlotState.MISSING),
        (SLOT, SlotState.STREAMING),
        (LOST, SlotState.LOST),
        (dataclasses.replace(SLOT, active_pid=None), SlotState.INACTIVE),
        (dataclasses.replace(SLOT, wal_status="unreserved"), SlotState.ENDANGERED),
    ],
)
def test_slot_health(slot: SlotFacts | None, state: SlotState) -> None:
    assert slot_health(slot).state is state


def test_offsets_tell_a_snapshot_that_is_under_way() -> None:
    snapshotting = {"offset": {"snapshot": "INITIAL", "snapshot_completed": False, "lsn": 5}}
    streaming = {"offset": {"lsn": 6, "lsn_proc": 6}}
    assert parse_offsets({"offsets": [snapshotting]}) == HALFWAY
    assert parse_offsets({"offsets": [streaming]}) == SETTLED
    assert parse_offsets({"offsets": []}) == NOTHING
    assert parse_offsets(None) == NOTHING


def failed_with(trace: str) -> ConnectorStatus:
    return parse_status({"connector": {"state": "RUNNING"}, "tasks": [{"state": "FAILED", "trace": trace}]})


def test_a_failed_task_says_why() -> None:
    status = failed_with("org.Wrapper: off\n\tat A.b(A:1)\nCaused by: java.Real: no disk\n\tat C.d(C:1)")
    assert status == ConnectorStatus("RUNNING", "FAILED", "java.Real: no disk")
    assert status.failed


def test_a_position_that_is_gone_is_told_from_other_failures() -> None:
    status = failed_with(f"DebeziumException: at {'x' * 999}, but this is no longer available on the server.")
    assert status.position_gone
    assert len(status.reason) <= 300


def test_no_connector_is_no_error() -> None:
    assert parse_status(None) == ConnectorStatus("ABSENT", "ABSENT")
    assert first_cause("") == ""


def test_a_group_is_behind_by_what_it_has_not_committed() -> None:
    bounds = {("t", 0): Bounds(5, 10), ("t", 1): Bounds(0, 4), ("t", 2): Bounds(7, 7)}
    assert behind(bounds, {("t", 0): 8, ("t", 1): 4, ("t", 2): -1001}) == 2
    assert behind(bounds, {("t", 0): -1001, ("t", 1): -1001, ("t", 2): -1001}) == 9
