"""Store the runs in a SQLite database, so that they survive the end of the server."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dataflix_dbt.runs import NodeResult, Run, RunRequest, Status, answering_run

_BUSY_SECONDS = 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    number       INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    selected     TEXT,
    full_refresh INTEGER NOT NULL,
    status       TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    started_at   TEXT,
    finished_at  TEXT,
    error        TEXT,
    results      TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX IF NOT EXISTS runs_status ON runs (status);
CREATE TABLE IF NOT EXISTS keys (
    key    TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE ON UPDATE CASCADE
) STRICT;
CREATE INDEX IF NOT EXISTS keys_run ON keys (run_id);
"""


class Store:
    """The stored runs. Any number of threads may use it, since each call opens its own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def request_run(self, request: RunRequest, key: str | None) -> Run:
        """The run for a request: an existing one that answers it, or a new one at the end of the queue.

        Raises:
            KeyReusedError: the key came with another request before.
            QueueFullError: too many runs wait.
        """
        with self._change() as connection:
            keyed = None if key is None else _of_key(connection, key)
            run = answering_run(request, keyed, _queued(connection)) or _insert(connection, request)
            if key is not None:
                connection.execute("INSERT OR REPLACE INTO keys (key, run_id) VALUES (?, ?)", [key, run.id])
            return run

    def claim(self) -> Run | None:
        """Take the run that has waited longest, and mark it as running; None: none waits."""
        with self._change() as connection:
            waiting = _queued(connection)
            if not waiting:
                return None
            connection.execute(
                "UPDATE runs SET status = ?, started_at = ? WHERE id = ?",
                [Status.RUNNING, _now(), waiting[0].id],
            )
            return _get(connection, waiting[0].id)

    def finish(self, run_id: str, status: Status, error: str | None, results: Sequence[NodeResult]) -> None:
        """Record how a run ended."""
        with self._change() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, finished_at = ?, error = ?, results = ? WHERE id = ?",
                [status, _now(), error, json.dumps([asdict(one) for one in results]), run_id],
            )

    def interrupt_running(self, error: str) -> list[str]:
        """Mark runs that a dead server left running as interrupted; return their ids."""
        with self._change() as connection:
            rows = connection.execute(
                "UPDATE runs SET status = ?, finished_at = ?, error = ? WHERE status = ? RETURNING id",
                [Status.INTERRUPTED, _now(), error, Status.RUNNING],
            )
            return [row["id"] for row in rows]

    def get(self, run_id: str) -> Run | None:
        """A run with its results; None: no run has this id."""
        with closing(self._connect()) as connection:
            return _get(connection, run_id)

    def newest(self, limit: int) -> list[Run]:
        """The newest runs first."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT * FROM runs ORDER BY number DESC LIMIT ?", [limit])
            return [_run(row) for row in rows]

    def count(self, status: Status) -> int:
        """How many runs are in a state."""
        with closing(self._connect()) as connection:
            (found,) = connection.execute("SELECT count(*) FROM runs WHERE status = ?", [status]).fetchone()
            return int(found)

    def prune(self, keep: int) -> list[str]:
        """Delete finished runs, except the newest ``keep`` runs, with their keys; return their ids."""
        with self._change() as connection:
            rows = connection.execute(
                "DELETE FROM runs WHERE status NOT IN (?, ?) AND number NOT IN"
                " (SELECT number FROM runs ORDER BY number DESC LIMIT ?) RETURNING id",
                [Status.QUEUED, Status.RUNNING, keep],
            )
            return [row["id"] for row in rows]

    def check(self) -> None:
        """Check that the database can be written to.

        Raises:
            sqlite3.Error: it cannot.
        """
        with self._change() as connection:
            connection.execute("PRAGMA user_version = 1")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _queued(connection: sqlite3.Connection) -> list[Run]:
    rows = connection.execute("SELECT * FROM runs WHERE status = ? ORDER BY number", [Status.QUEUED])
    return [_run(row) for row in rows]


def _insert(connection: sqlite3.Connection, request: RunRequest) -> Run:
    run = Run(secrets.token_hex(8), request, Status.QUEUED, _now())
    connection.execute(
        "INSERT INTO runs (id, selected, full_refresh, status, created_at) VALUES (?, ?, ?, ?, ?)",
        [run.id, request.select, int(request.full_refresh), run.status, run.created_at],
    )
    return run


def _get(connection: sqlite3.Connection, run_id: str) -> Run | None:
    row = connection.execute("SELECT * FROM runs WHERE id = ?", [run_id]).fetchone()
    return row and _run(row)


def _of_key(connection: sqlite3.Connection, key: str) -> Run | None:
    row = connection.execute(
        "SELECT runs.* FROM runs JOIN keys ON run_id = id WHERE key = ?", [key]
    ).fetchone()
    return row and _run(row)


def _run(row: Any) -> Run:
    return Run(
        id=row["id"],
        request=RunRequest(row["selected"], bool(row["full_refresh"])),
        status=Status(row["status"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        error=row["error"],
        results=tuple(NodeResult(**one) for one in json.loads(row["results"])),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
