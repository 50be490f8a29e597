"""The replication slot's health: is it there, does it keep what the connector still needs?"""

import enum
from dataclasses import dataclass

from dataflix_connectors.source import SlotFacts

#: What to do about a slot that cannot be continued from.
RESNAPSHOT_CURE = "run: dataflix-connector resnapshot"
#: What to do so that a slot that is about to be lost is kept.
KEEP_WAL_CURE = (
    "at once, as the superuser: ALTER SYSTEM SET max_slot_wal_keep_size = '<more than it holds now>';"
    " SELECT pg_reload_conf()"
)


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


_PROBLEMS = {
    SlotState.STREAMING: "",
    SlotState.INACTIVE: "is not being read",
    SlotState.ENDANGERED: (
        "is about to be lost: it holds more WAL than max_slot_wal_keep_size. At the next checkpoint"
        " PostgreSQL removes WAL that was not captured, and its changes are then missing until a re-snapshot"
    ),
    SlotState.LOST: "is lost: PostgreSQL has removed WAL that it needed (max_slot_wal_keep_size)",
    SlotState.MISSING: "does not exist",
}
#: By PostgreSQL's ``wal_status``, which is NULL while a slot is being made, and whether somebody reads it.
_STATES = {
    (None, True): SlotState.STREAMING,
    (None, False): SlotState.INACTIVE,
    ("reserved", True): SlotState.STREAMING,
    ("reserved", False): SlotState.INACTIVE,
    ("extended", True): SlotState.STREAMING,
    ("extended", False): SlotState.INACTIVE,
    ("unreserved", True): SlotState.ENDANGERED,
    ("unreserved", False): SlotState.ENDANGERED,
    ("lost", True): SlotState.LOST,
    ("lost", False): SlotState.LOST,
}


def slot_health(slot: SlotFacts | None) -> SlotHealth:
    """Judge the slot as PostgreSQL shows it."""
    if slot is None:
        return SlotHealth(SlotState.MISSING, _PROBLEMS[SlotState.MISSING])
    state = _STATES[slot.wal_status, slot.active_pid is not None]
    return SlotHealth(state, _PROBLEMS[state], slot.retained_bytes, slot.lag_bytes)
