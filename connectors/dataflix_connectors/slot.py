"""The replication slot's health: is it there, does it keep what the connector still needs?"""

import enum
from dataclasses import dataclass

from dataflix_connectors.source import SlotFacts

#: What to do about a slot that cannot be continued from.
RESNAPSHOT_CURE = "run: dataflix-connector resnapshot"


class SlotState(enum.Enum):
    """What has become of the slot."""

    STREAMING = "streaming"
    INACTIVE = "inactive"
    ENDANGERED = "endangered"
    LOST = "lost"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """The slot's state, and how much WAL it holds.

    Attributes:
        state: what has become of it.
        problem: what is wrong, empty while it streams.
        retained_bytes: WAL that is kept for it.
        lag_bytes: WAL that was written after the position that the connector confirmed.
    """

    state: SlotState
    problem: str = ""
    retained_bytes: int = 0
    lag_bytes: int = 0


def slot_health(slot: SlotFacts | None) -> SlotHealth:
    """Judge the slot as PostgreSQL shows it."""
    if slot is None:
        return SlotHealth(SlotState.MISSING, "does not exist")
    state, problem = _state(slot)
    return SlotHealth(state, problem, slot.retained_bytes, slot.lag_bytes)


def _state(slot: SlotFacts) -> tuple[SlotState, str]:
    if slot.wal_status == "lost":
        return SlotState.LOST, "is lost: PostgreSQL has removed WAL that it needed (max_slot_wal_keep_size)"
    if slot.wal_status == "unreserved":
        return SlotState.ENDANGERED, "is about to be lost: it holds more WAL than max_slot_wal_keep_size"
    if slot.active_pid is None:
        return SlotState.INACTIVE, "is not being read"
    return SlotState.STREAMING, ""
