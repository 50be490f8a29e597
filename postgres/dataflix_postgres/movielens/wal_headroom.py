"""Room for WAL: an import writes much of it, and a replication slot that falls too far behind is lost."""

from __future__ import annotations

import time

import psycopg
from rich.console import Console

from dataflix_contract.faults import Fault

#: Slots that are lost already cannot be saved by waiting. NULL: there is no limit, or no slot.
_ROOM = "SELECT min(safe_wal_size)::bigint FROM pg_replication_slots WHERE wal_status <> 'lost'"
_LIMIT = "SELECT setting::bigint * 1024 * 1024 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_WITHOUT_PROGRESS = 120.0


class WalHeadroom:
    """Tells how much WAL may be written before a slot is in danger, and waits for more room."""

    def __init__(self, connection: psycopg.Connection, console: Console) -> None:
        self._connection = connection
        self._console = console

    def limit(self) -> int | None:
        """How many bytes of WAL a slot may keep; None where there is no slot, or no limit."""
        return None if self._now() is None else _number(self._connection, _LIMIT)

    def wait_for(self, needed: int) -> None:
        """Wait until so many bytes may be written.

        Raises:
            Fault: nobody reads the slot.
        """
        room = self._now()
        if room is None or room >= needed:
            return
        self._console.print("waiting until the capture of changes has caught up", highlight=False)
        most, last_progress = room, time.monotonic()
        while (room := self._now()) is not None and room < needed:
            if room > most:
                most, last_progress = room, time.monotonic()
            if time.monotonic() - last_progress > _SECONDS_WITHOUT_PROGRESS:
                raise Fault(
                    f"the import is about to write {needed >> 20:,} MB of WAL, and nothing reads the"
                    f" replication slots, which have room for {max(room, 0) >> 20:,} MB"
                    " (max_slot_wal_keep_size): start the capture (./run.sh; bin/dataflix-connector status"
                    " says what it does), then run the import again: it goes on where it is"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _now(self) -> int | None:
        return _number(self._connection, _ROOM)


def _number(connection: psycopg.Connection, query: str) -> int | None:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]
