"""Take a fence: a WAL position that is lower than every change which a snapshot taken later misses.

The rows of the snapshot get the fence as their version; a change gets its own position. If a
transaction changed a row before the fence was read and committed after the snapshot, its
change would look older than the snapshot's row and be lost. Therefore the snapshot waits until
every transaction that had an id when the fence was read has ended.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from dataflix_clients.postgres import Connection
from dataflix_clients.replication_slot import read_wal_position
from dataflix_contract.faults import Fault

#: How long to wait by default for open transactions to end.
DEFAULT_TIMEOUT_S = 60.0

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence that was read.

    Attributes:
        position: the version that rows of a snapshot behind this fence get.
        next_xid: every transaction that had an id when the position was read has a lower one.
    """

    position: int
    next_xid: int


@dataclass(frozen=True, slots=True)
class Blocker:
    """A transaction that is older than the fence; its query can hold personal data and is left out."""

    pid: int | None
    user: str
    state: str
    age_s: int

    @property
    def description(self) -> str:
        """The transaction in words."""
        if self.pid is None:
            return f"prepared transaction of {self.user}, {self.age_s} s old (pg_prepared_xacts)"
        return f"pid {self.pid} ({self.user}, {self.state}, open for {self.age_s} s)"


def is_over(fence: Fence, oldest_running_xid: int) -> bool:
    """Whether every transaction that is older than the fence has ended.

    Args:
        fence: the fence.
        oldest_running_xid: ``pg_snapshot_xmin(pg_current_snapshot())``, read now.
    """
    return oldest_running_xid >= fence.next_xid


def take_fence(
    connection: Connection, timeout_s: float, report: Callable[[str], None] = lambda _line: None
) -> int:
    """Read a fence and wait until it holds; return its position.

    Args:
        connection: a session in autocommit mode whose role may see other sessions.
        timeout_s: how long to wait for the transactions that are open.
        report: told once a second what is waited for.

    Raises:
        Fault: a transaction stayed open for too long; the message names it.
    """
    fence = _read(connection)
    deadline = time.monotonic() + timeout_s
    next_report = time.monotonic() + 1
    while not is_over(fence, _oldest_running_xid(connection)):
        blockers = _blockers(connection, fence)
        if time.monotonic() > deadline:
            raise Fault(_too_long(blockers, timeout_s))
        if time.monotonic() > next_report:
            report(f"waiting for open transactions to end: {_list(blockers)}")
            next_report += 1
        time.sleep(_POLL_S)
    return fence.position


def _read(connection: Connection) -> Fence:
    # The position is read first, then an id of our own is taken: transactions with a lower id may
    # have written below the position, those that get a higher one write above it. One is
    # subtracted so that a record that begins exactly at the position is above the fence as well.
    position = read_wal_position(connection) - 1
    row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    if row is None:
        raise Fault("PostgreSQL gave no transaction id")
    return Fence(position, int(row[0]))


def _oldest_running_xid(connection: Connection) -> int:
    row = connection.execute(_XMIN).fetchone()
    return 0 if row is None else int(row[0])


def _blockers(connection: Connection, fence: Fence) -> list[Blocker]:
    with connection.cursor(row_factory=class_row(Blocker)) as cursor:
        return cursor.execute(_BLOCKERS, {"xid": str(fence.next_xid % (1 << 32))}).fetchall()


def _too_long(blockers: Iterable[Blocker], timeout_s: float) -> str:
    return (
        f"a snapshot has to wait for transactions that are still open after {timeout_s:.0f} s: "
        f"{_list(blockers)}\n"
        "let them end, or end them with SELECT pg_terminate_backend(<pid>), and run this again;"
        " --fence-timeout waits longer"
    )


def _list(blockers: Iterable[Blocker]) -> str:
    return "; ".join(blocker.description for blocker in blockers) or "one that has just ended"


_XMIN: LiteralString = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_BLOCKERS: LiteralString = """
    SELECT pid, usename::text AS user, state,
           extract(epoch FROM clock_timestamp() - xact_start)::int AS age_s
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND age(backend_xid) > age(%(xid)s::xid)
    UNION ALL
    SELECT NULL, owner::text, 'prepared', extract(epoch FROM clock_timestamp() - prepared)::int
    FROM pg_prepared_xacts WHERE age(transaction) > age(%(xid)s::xid)
    ORDER BY age_s DESC
"""
