"""How the capture does: connector, slot, source and what reaches Kafka, judged together, in one place.

``dataflix-connector status``, ``dataflix-status``, the checker, the metrics and the API's live view ask here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflix_connectors.connect import ConnectorStatus, Offsets
from dataflix_connectors.preflight import SLOT_SUBJECT, Finding, Level, judge_source
from dataflix_connectors.registration import LOST_SLOT
from dataflix_connectors.slot import KEEP_WAL_CURE, RESNAPSHOT_CURE, SlotState, slot_health
from dataflix_connectors.source import SourceFacts
from dataflix_connectors.topic_admin import CaptureTopics
from dataflix_contract import Settings
from dataflix_contract.schema import CONNECTOR, SLOT

#: Debezium writes a heartbeat to Kafka every five seconds, also in the middle of a large transaction and
#: while it reads WAL that it has no use for. After so many seconds without any record it is stuck.
STALLED_S = 40.0

_CONNECTOR_SUBJECT = f"connector {CONNECTOR}"
_REGISTER = "run: dataflix-connector register"


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What the servers say about the capture; nothing where one of them did not answer.

    Attributes:
        source: what PostgreSQL says.
        connector: what Kafka Connect says.
        offsets: what Kafka Connect has stored.
        topics: what Kafka says.
    """

    source: SourceFacts | None
    connector: ConnectorStatus | None
    offsets: Offsets | None
    topics: CaptureTopics | None


def judge_capture(facts: CaptureFacts, settings: Settings) -> list[Finding]:
    """Everything that is wrong with the capture, the worst first; nothing when changes are captured."""
    return [
        *_judge_connector_and_slot(facts),
        *_judge_topics(facts),
        *(judge_source(facts.source, settings) if facts.source else ()),
    ]


def stalled_seconds(facts: CaptureFacts) -> float:
    """For how long nothing has come to Kafka although a reader is connected to the slot; 0 while it streams.

    A reader has this much time after it has connected, so that a connector that has just been started is
    not taken for one that is stuck. Where the role that asks may not know when the reader connected, the
    newest record alone decides.
    """
    slot = facts.source.slot if facts.source else None
    if facts.topics is None or slot is None or slot.active_pid is None:
        return 0.0
    known = [seconds for seconds in (facts.topics.silent_s, slot.reading_s) if seconds is not None]
    seconds = min(known, default=0.0)
    return seconds if seconds > STALLED_S else 0.0


def _judge_connector_and_slot(facts: CaptureFacts) -> Iterator[Finding]:
    connector = facts.connector
    settled = facts.offsets.settled if facts.offsets else None
    health = slot_health(facts.source.slot) if facts.source else None
    gone = health is not None and (
        health.state is SlotState.LOST or (health.state is SlotState.MISSING and settled is True)
    )
    if gone or (connector is not None and connector.position_gone):
        yield _fault(SLOT_SUBJECT, LOST_SLOT.removeprefix(f"replication slot {SLOT} "), RESNAPSHOT_CURE)
        return
    if connector is not None:
        yield from _judge_connector(connector)
    if health is None:
        return
    works = connector is None or connector.running
    if health.state is SlotState.ENDANGERED:
        yield _fault(SLOT_SUBJECT, health.problem, KEEP_WAL_CURE + ("" if works else f"; then {_REGISTER}"))
    elif health.state is SlotState.MISSING and facts.offsets is None:
        yield _fault(SLOT_SUBJECT, health.problem, _REGISTER)
    elif health.state is SlotState.INACTIVE and works and not _snapshots(facts):
        yield _fault(
            SLOT_SUBJECT,
            health.problem,
            "see Connect's log: is PostgreSQL reachable for it? If the log misses the publication, which was"
            f" made anew, {RESNAPSHOT_CURE}",
        )
    elif works and (seconds := stalled_seconds(facts)):
        yield _fault(
            SLOT_SUBJECT,
            f"does not advance: it is read, and nothing has come to Kafka for {seconds:.0f} s",
            f"see what Connect's log says about it, then {_REGISTER}",
        )


def _judge_connector(connector: ConnectorStatus) -> Iterator[Finding]:
    if connector.connector == "ABSENT":
        yield _fault(_CONNECTOR_SUBJECT, "is not registered", _REGISTER)
    elif connector.failed:
        yield _fault(
            _CONNECTOR_SUBJECT,
            f"failed: {connector.reason}",
            "mend the cause, then run: dataflix-connector register",
        )
    elif not connector.running:
        yield _fault(_CONNECTOR_SUBJECT, f"does not run: {connector.description}", _REGISTER)


def _snapshots(facts: CaptureFacts) -> bool:
    """Whether the first snapshot is under way, during which nobody reads the slot yet."""
    if facts.offsets is not None:
        return not facts.offsets.settled
    silent = facts.topics.silent_s if facts.topics else None
    return facts.connector is None and silent is not None and silent < STALLED_S


def _judge_topics(facts: CaptureFacts) -> Iterator[Finding]:
    for name in facts.topics.missing if facts.topics else ():
        yield _fault(
            f"topic {name}",
            "does not exist: the capture of every table stops at the first record for it",
            "run: dataflix-connector topics",
        )


def _fault(subject: str, problem: str, cure: str) -> Finding:
    return Finding(Level.FAULT, subject, problem, cure)
