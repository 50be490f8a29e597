"""How the capture does: the connector, its task, and the slot, judged together."""

from dataclasses import dataclass

from dataflix_connectors.connect import ConnectorStatus, Offsets
from dataflix_connectors.registration import LOST_SLOT
from dataflix_connectors.slot import RESNAPSHOT_CURE, SlotHealth, SlotState


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """The whole capture side.

    Attributes:
        connector: what Kafka Connect says.
        slot: what PostgreSQL says.
        problem: what is wrong, empty when it streams.
        cure: what to do about it.
    """

    connector: ConnectorStatus
    slot: SlotHealth
    problem: str
    cure: str

    @property
    def healthy(self) -> bool:
        """Whether changes are being captured."""
        return not self.problem


def capture_status(connector: ConnectorStatus, slot: SlotHealth, offsets: Offsets) -> CaptureStatus:
    """Judge connector and slot together: the worst problem, and its cure."""
    problem, cure = _worst(connector, slot, offsets)
    return CaptureStatus(connector, slot, problem, cure)


def _worst(connector: ConnectorStatus, slot: SlotHealth, offsets: Offsets) -> tuple[str, str]:
    if connector.connector == "ABSENT":
        return "the connector is not registered", "run: dataflix-connector register"
    gone = slot.state is SlotState.MISSING and offsets.settled
    if gone or slot.state is SlotState.LOST or connector.position_gone:
        return LOST_SLOT, RESNAPSHOT_CURE
    if connector.failed:
        return f"it failed: {connector.reason}", "mend the cause, then: dataflix-connector register"
    if not connector.running:
        return f"it does not run: {connector.description}", "run: dataflix-connector register"
    if offsets.settled and slot.state is not SlotState.STREAMING:
        return f"the slot {slot.problem}", "is PostgreSQL reachable for Kafka Connect? see Connect's log"
    return "", ""
