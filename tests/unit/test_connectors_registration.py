"""What a registration does, and with which configuration, from what PostgreSQL and Connect hold."""

import dataclasses

import pytest

from dataflix_clients.connect import ConnectorStatus, Offsets, first_cause, parse_offsets, parse_status
from dataflix_clients.kafka import Bounds, count_lag
from dataflix_clients.replication_slot import SlotFacts, SlotState, exceeds_idle_wal, slot_health
from dataflix_connectors.registration import CaptureState, decide, fence_of, render_config
from dataflix_contract import Settings, tables
from dataflix_contract.schema import MAX_MESSAGE_BYTES

SETTINGS = Settings(postgres_port=15432, debezium_password="hunter2-hunter2")
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
        (None, NOTHING, STOPPED, CaptureState.FRESH),
        (None, HALFWAY, RUNNING, CaptureState.FRESH),
        (SLOT, NOTHING, STOPPED, CaptureState.FRESH),
        (SLOT, HALFWAY, RUNNING, CaptureState.ESTABLISHED),
        (SLOT, NOTHING, RUNNING, CaptureState.ESTABLISHED),
        (SLOT, SETTLED, RUNNING, CaptureState.ESTABLISHED),
        (SLOT, SETTLED, STOPPED, CaptureState.ESTABLISHED),
        (None, SETTLED, RUNNING, CaptureState.LOST),
        (LOST, SETTLED, RUNNING, CaptureState.LOST),
        (LOST, HALFWAY, RUNNING, CaptureState.FRESH),
    ],
)
def test_the_situation(
    slot: SlotFacts | None, offsets: Offsets, status: ConnectorStatus, situation: CaptureState
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


@pytest.mark.parametrize(("mebibytes", "too_much"), [(256, False), (257, True)])
def test_a_slot_that_has_caught_up_holds_little(mebibytes: int, too_much: bool) -> None:
    assert exceeds_idle_wal(dataclasses.replace(SLOT, retained_bytes=mebibytes * 2**20)) is too_much


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
    assert count_lag(bounds, {("t", 0): 8, ("t", 1): 4, ("t", 2): -1001}) == 2
    assert count_lag(bounds, {("t", 0): -1001, ("t", 1): -1001, ("t", 2): -1001}) == 9


def test_every_placeholder_is_filled() -> None:
    config = render_config(SETTINGS, fence=7)
    left = {name: text for name, text in config.items() if "${" in text}
    assert left == {"database.password": "${env:DATAFLIX_DEBEZIUM_PASSWORD}"}
    assert config["database.port"] == "15432"


def test_the_password_is_not_in_it() -> None:
    assert "hunter2" not in str(render_config(SETTINGS, fence=7))


def test_contract_tables_and_heartbeat_are_captured() -> None:
    captured = render_config(SETTINGS, fence=7)["table.include.list"].split(",")
    assert captured == [rf"public\.{name}" for name in (*tables(), "debezium_heartbeat")]


def test_the_fence_travels_in_a_header() -> None:
    config = render_config(SETTINGS, fence=26835623)
    assert config["transforms.fence.header"] == "dataflix.fence"
    assert fence_of(config) == 26835623


def test_a_configuration_without_a_fence_has_none() -> None:
    assert fence_of({}) == 0


def test_topic_and_producer_agree_on_the_largest_message() -> None:
    config = render_config(SETTINGS, fence=7)
    assert config["producer.override.max.request.size"] == str(MAX_MESSAGE_BYTES)


def test_a_slot_that_was_made_anew_is_not_trusted() -> None:
    config = render_config(SETTINGS, fence=7)
    assert config["snapshot.mode"] == "initial"
    assert config["offset.mismatch.strategy"] == "trust_offset"


def test_records_are_not_compressed() -> None:
    """The masker's Kafka client reads lz4, snappy and zstd only with further libraries."""
    assert not [name for name in render_config(SETTINGS, fence=7) if "compression" in name]
