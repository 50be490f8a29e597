"""The replication slot: what PostgreSQL says of it, and whether it keeps the WAL that the connector needs.

Every program that tells whether the slot streams, is in danger or is lost takes that judgement from here.
"""

import enum
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row

from dataflix_contract.faults import Fault
from dataflix_contract.schema import SLOT

#: The subject of findings about the slot.
SLOT_SUBJECT = f"slot {SLOT}"
#: What to say when the connector cannot go on from where it was.
LOST_SLOT = f"replication slot {SLOT} is gone, lost or another one: changes are missing downstream"
#: What to do about a slot that cannot be continued from.
RESNAPSHOT_CURE = "run: dataflix-connector resnapshot"
#: What to do to keep a slot that is about to be lost.
KEEP_WAL_CURE = (
    "at once, as the superuser: ALTER SYSTEM SET max_slot_wal_keep_size = '<more than it holds now>';"
    " SELECT pg_reload_conf()"
)
#: WAL that the slot of an idle stream holds at most: what was written since the last heartbeat or so.
_IDLE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The replication slot.

    Attributes:
        wal_status: PostgreSQL's word for what has become of the WAL that the slot needs.
        retained_bytes: WAL that it keeps from being removed.
        lag_bytes: WAL that was written after the position that Debezium has confirmed.
        reading_s: for how long its reader has been connected; nothing where there is none, or where the
            role that asks may not know it.
    """

    plugin: str
    database: str
    active_pid: int | None
    active_user: str | None
    wal_status: str | None
    retained_bytes: int
    lag_bytes: int
    confirmed_lsn: int | None
    reading_s: float | None = None


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


def exceeds_idle_wal(slot: SlotFacts) -> bool:
    """Whether the slot of a stream that has caught up holds more WAL than an idle one has reason to.

    While changes come in, a slot may hold more. How much is too much then is decided by PostgreSQL's
    ``max_slot_wal_keep_size``, which :func:`slot_health` reports, and by the alert ``DataflixSlotHoldsWal``.
    """
    return slot.retained_bytes > _IDLE_BYTES


def read_slot(connection: psycopg.Connection[Any]) -> SlotFacts | None:
    """The state of our replication slot, if there is one."""
    with connection.cursor(row_factory=class_row(SlotFacts)) as cursor:
        return cursor.execute(_SLOT_QUERY, [SLOT]).fetchone()


def read_wal_position(connection: psycopg.Connection) -> int:
    """The position up to which WAL is written now.

    Raises:
        Fault: PostgreSQL gave none.
    """
    row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
    if row is None:
        raise Fault("PostgreSQL gave no WAL position")
    return int(row[0])


_SLOT_QUERY: LiteralString = """
    SELECT s.plugin, s.database, s.active_pid, a.usename AS active_user, s.wal_status,
           coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint AS retained_bytes,
           coalesce(pg_current_wal_lsn() - s.confirmed_flush_lsn, 0)::bigint AS lag_bytes,
           (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint AS confirmed_lsn,
           extract(epoch FROM clock_timestamp() - a.backend_start)::float8 AS reading_s
    FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
    WHERE s.slot_name = %s
"""
