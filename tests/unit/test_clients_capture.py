"""How connector, slot and what reaches Kafka are judged together: one table of judgements."""

import dataclasses
import itertools

import pytest

from dataflix_clients.capture import STALLED_S, CaptureFacts, judge_capture, stalled_seconds
from dataflix_clients.connect import ConnectorStatus, Offsets
from dataflix_clients.kafka import CaptureTopics
from dataflix_clients.preflight import Finding, Level
from dataflix_clients.replication_slot import KEEP_WAL_CURE, RESNAPSHOT_CURE, SlotFacts
from dataflix_contract import Settings
from support.source_facts import SOUND, with_publication

SETTINGS = Settings()
SLOT = SlotFacts("pgoutput", "dataflix_db", 77, "debezium", "reserved", 1000, 10, 5000, 900.0)
CONNECTORS = {
    "running": ConnectorStatus("RUNNING", "RUNNING"),
    "failed": ConnectorStatus("RUNNING", "FAILED", "no disk"),
    "without a task": ConnectorStatus("RUNNING", "ABSENT"),
    "paused": ConnectorStatus("PAUSED", "PAUSED"),
    "stopped": ConnectorStatus("STOPPED", "ABSENT"),
    "absent": ConnectorStatus("ABSENT", "ABSENT"),
}
SETTLED = Offsets(stored=True, snapshotting=False)
HALFWAY = Offsets(stored=True, snapshotting=True)
NOTHING = Offsets(stored=False, snapshotting=False)
FLOWING = CaptureTopics((), 2.0)
REGISTER = "run: dataflix-connector register"
MEND = "mend the cause, then run: dataflix-connector register"
LOOK = (
    "see Connect's log: can it reach PostgreSQL? If the log says that the publication does not exist,"
    f" {RESNAPSHOT_CURE}"
)
OF_CONNECTOR = {
    "running": [],
    "failed": [MEND],
    "without a task": [REGISTER],
    "paused": [REGISTER],
    "stopped": [REGISTER],
    "absent": [REGISTER],
}


def facts(
    slot: SlotFacts | None = SLOT,
    connector: ConnectorStatus | None = CONNECTORS["running"],
    offsets: Offsets | None = SETTLED,
    topics: CaptureTopics | None = FLOWING,
) -> CaptureFacts:
    return CaptureFacts(dataclasses.replace(SOUND, slot=slot), connector, offsets, topics)


def judged(**changes: object) -> list[Finding]:
    return judge_capture(facts(**changes), SETTINGS)  # type: ignore[arg-type]


def slot_with(wal_status: str | None, *, active: bool) -> SlotFacts:
    return dataclasses.replace(SLOT, wal_status=wal_status, active_pid=77 if active else None)


@pytest.mark.parametrize(
    ("wal_status", "active", "connector"),
    list(itertools.product(["reserved", "extended", "unreserved", "lost"], [True, False], CONNECTORS)),
)
def test_every_state_of_slot_and_connector_has_its_cures(
    wal_status: str, active: bool, connector: str
) -> None:
    found = judged(slot=slot_with(wal_status, active=active), connector=CONNECTORS[connector])
    expected = list(OF_CONNECTOR[connector])
    if wal_status == "lost":
        expected = [RESNAPSHOT_CURE]
    elif wal_status == "unreserved":
        expected.append(KEEP_WAL_CURE if connector == "running" else f"{KEEP_WAL_CURE}; then {REGISTER}")
    elif not active and connector == "running":
        expected = [LOOK]
    assert [finding.cure for finding in found] == expected
    assert all(finding.level is Level.FAULT for finding in found)


def test_a_slot_that_is_about_to_be_lost_says_what_is_about_to_happen() -> None:
    [finding] = judged(slot=slot_with("unreserved", active=True))
    assert "next checkpoint" in finding.problem
    assert "missing until a re-snapshot" in finding.problem
    assert "max_slot_wal_keep_size" in finding.cure
    assert "reachable" not in finding.cure


def test_a_slot_that_is_gone_or_cannot_continue_needs_a_snapshot() -> None:
    assert [one.cure for one in judged(slot=None)] == [RESNAPSHOT_CURE]
    gone = ConnectorStatus("RUNNING", "FAILED", "no longer available", position_gone=True)
    assert [one.cure for one in judged(connector=gone)] == [RESNAPSHOT_CURE]


@pytest.mark.parametrize("offsets", [NOTHING, HALFWAY])
def test_nobody_reads_the_slot_during_the_first_snapshot_and_that_is_no_fault(offsets: Offsets) -> None:
    assert judged(slot=slot_with("reserved", active=False), offsets=offsets) == []
    assert judged(slot=slot_with(None, active=False), offsets=offsets) == []
    assert judged(slot=None, offsets=offsets) == []


def test_a_slot_that_is_read_and_does_not_advance_is_a_fault_within_a_minute() -> None:
    assert STALLED_S < 60
    [finding] = judged(topics=CaptureTopics((), STALLED_S + 1))
    assert finding.level is Level.FAULT
    assert "does not advance" in finding.problem
    assert REGISTER in finding.cure


def test_topics_that_never_held_a_record_are_silent_since_the_reader_came() -> None:
    assert stalled_seconds(facts(topics=CaptureTopics((), None))) == 900
    hidden = dataclasses.replace(SLOT, reading_s=None)
    assert stalled_seconds(facts(hidden, topics=CaptureTopics((), None))) == 0
    assert stalled_seconds(facts(hidden, topics=CaptureTopics((), 50.0))) == 50


@pytest.mark.parametrize(
    "sound",
    [
        facts(),
        # a large transaction: the position stays, records come
        facts(dataclasses.replace(SLOT, lag_bytes=10**9)),
        # started a moment ago, after a night
        facts(dataclasses.replace(SLOT, reading_s=3.0), topics=CaptureTopics((), 30_000.0)),
        # one heartbeat too many on a busy machine
        facts(topics=CaptureTopics((), 20.0)),
    ],
)
def test_what_is_only_busy_or_new_does_not_stall(sound: CaptureFacts) -> None:
    assert judge_capture(sound, SETTINGS) == []
    assert stalled_seconds(sound) == 0


def test_a_topic_that_is_not_there_is_named() -> None:
    [finding] = judged(topics=CaptureTopics(("cdc.public.users",), 1.0))
    assert finding.subject == "topic cdc.public.users"
    assert finding.cure == "run: dataflix-connector topics"


def test_the_status_asks_what_the_preflight_asks() -> None:
    source = with_publication(tables=SOUND.tables.keys() - {"public.ratings"})
    found = judge_capture(CaptureFacts(source, CONNECTORS["running"], SETTLED, FLOWING), SETTINGS)
    assert any("does not publish" in finding.problem for finding in found)


def test_what_did_not_answer_is_not_judged() -> None:
    assert judge_capture(CaptureFacts(None, None, None, None), SETTINGS) == []
    # the live view does not ask Kafka Connect
    assert judged(connector=None, offsets=None) == []
    idle = slot_with("reserved", active=False)
    assert judged(slot=idle, connector=None, offsets=None) == []
    silent = CaptureTopics((), 100.0)
    assert [one.cure for one in judged(slot=idle, connector=None, offsets=None, topics=silent)] == [LOOK]
    assert [one.cure for one in judged(slot=None, connector=None, offsets=None)] == [REGISTER]
