"""Whether changes are captured: connector, slot, source and what reaches Kafka, judged together.

``dataflix-connector status``, ``dataflix-status``, the checker, the metrics and the API's live view ask here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflix_clients.answers import Unknown
from dataflix_clients.connect import Connector, ConnectorStatus, Offsets
from dataflix_clients.kafka import CaptureTopics
from dataflix_clients.preflight import Finding, Level, fault, faults, judge_source
from dataflix_clients.replication_slot import (
    KEEP_WAL_CURE,
    LOST_SLOT,
    RESNAPSHOT_CURE,
    SLOT_SUBJECT,
    SlotFacts,
    SlotState,
    slot_health,
)
from dataflix_clients.source_facts import SourceFacts
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


@dataclass(frozen=True, slots=True)
class Capture:
    """The capture of changes: each part asked of its own server, all of it judged together.

    Attributes:
        connector: what Kafka Connect says; nothing where it was not asked.
        findings: what is wrong, and what to do about it.
        stalled_s: for how long the slot has been read without advancing.
    """

    source: SourceFacts | Unknown
    connector: Connector | Unknown | None
    topics: CaptureTopics | Unknown
    findings: list[Finding]
    stalled_s: float

    @property
    def faults(self) -> list[str]:
        """Each finding because of which changes are lost or late, and each server that does not answer."""
        asked = {"PostgreSQL": self.source, "Kafka Connect": self.connector, "Kafka": self.topics}
        away = [f"{name}: {part.fault}" for name, part in asked.items() if isinstance(part, Unknown)]
        return away + [finding.text for finding in faults(self.findings)]

    @property
    def warnings(self) -> list[str]:
        """Each finding that somebody should look at although the capture works."""
        return [finding.text for finding in self.findings if finding.level is Level.WARNING]

    @property
    def slot(self) -> SlotFacts | None:
        """The replication slot; nothing where there is none, or PostgreSQL does not answer."""
        return None if isinstance(self.source, Unknown) else self.source.slot


def judge_answers(
    found: SourceFacts | Unknown,
    connector: Connector | Unknown | None,
    topics: CaptureTopics | Unknown,
    settings: Settings,
) -> Capture:
    """Judge the answers together; a server that did not answer, or was not asked, is left out."""
    seen = connector if isinstance(connector, Connector) else None
    facts = CaptureFacts(
        None if isinstance(found, Unknown) else found,
        seen.status if seen else None,
        seen.offsets if seen else None,
        None if isinstance(topics, Unknown) else topics,
    )
    return Capture(found, connector, topics, judge_capture(facts, settings), stalled_seconds(facts))


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
        yield fault(SLOT_SUBJECT, LOST_SLOT.removeprefix(f"replication slot {SLOT} "), RESNAPSHOT_CURE)
        return
    if connector is not None:
        yield from _judge_connector(connector)
    if health is None:
        return
    works = connector is None or connector.running
    if health.state is SlotState.ENDANGERED:
        yield fault(SLOT_SUBJECT, health.problem, KEEP_WAL_CURE + ("" if works else f"; then {_REGISTER}"))
    elif health.state is SlotState.MISSING and facts.offsets is None:
        yield fault(SLOT_SUBJECT, health.problem, _REGISTER)
    elif health.state is SlotState.INACTIVE and works and not _snapshots(facts):
        yield fault(
            SLOT_SUBJECT,
            health.problem,
            "see Connect's log: can it reach PostgreSQL? If the log says that the publication does not exist,"
            f" {RESNAPSHOT_CURE}",
        )
    elif works and (seconds := stalled_seconds(facts)):
        yield fault(
            SLOT_SUBJECT,
            f"does not advance: it is read, and nothing has come to Kafka for {seconds:.0f} s",
            f"see what Connect's log says about it, then {_REGISTER}",
        )


def _judge_connector(connector: ConnectorStatus) -> Iterator[Finding]:
    if connector.connector == "ABSENT":
        yield fault(_CONNECTOR_SUBJECT, "is not registered", _REGISTER)
    elif connector.failed:
        yield fault(
            _CONNECTOR_SUBJECT,
            f"failed: {connector.reason}",
            "mend the cause, then run: dataflix-connector register",
        )
    elif not connector.running:
        yield fault(_CONNECTOR_SUBJECT, f"does not run: {connector.description}", _REGISTER)


def _snapshots(facts: CaptureFacts) -> bool:
    """Whether the first snapshot is under way, during which nobody reads the slot yet."""
    if facts.offsets is not None:
        return not facts.offsets.settled
    silent = facts.topics.silent_s if facts.topics else None
    return facts.connector is None and silent is not None and silent < STALLED_S


def _judge_topics(facts: CaptureFacts) -> Iterator[Finding]:
    for name in facts.topics.missing if facts.topics else ():
        yield fault(
            f"topic {name}",
            "does not exist: the capture of every table stops at the first record for it",
            "run: dataflix-connector topics",
        )
