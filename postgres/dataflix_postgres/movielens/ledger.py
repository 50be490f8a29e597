"""The table ``movielens_imports``: which files the tables hold, and how far each is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from dataflix_contract import tables
from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.report import FileReport

#: Any number that nobody else locks in this database; one import runs at a time.
_LOCK = 0xDA7AF119


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file is loaded."""

    bytes_done: int
    lines_done: int
    loaded: int
    rejected: Counter[str]
    finished: bool


def claim(connection: psycopg.Connection, digests: Mapping[str, str], *, replace: bool) -> bool:
    """Get the tables ready for files with these digests.

    Returns:
        Whether an earlier import of the same files is to be continued.

    Raises:
        Fault: the tables hold something else and it is not to be replaced, or another import runs.
    """
    locked = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if locked != (True,):
        raise Fault("another dataflix-import is at work: wait until it has ended")
    recorded: dict[str, str] = dict(
        connection.execute("SELECT file, sha256 FROM movielens_imports").fetchall()
    )
    if recorded == digests and not replace:
        return True
    if replace:
        _empty_tables(connection)
    elif recorded or _hold_rows(connection):
        held = "another MovieLens release, or another version of it" if recorded else "other data"
        raise Fault(
            f"the tables hold {held}, whose ids would collide with those of the import."
            " Run again with --replace to delete all users, movies, viewings and ratings first"
        )
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO movielens_imports (file, sha256) VALUES (%s, %s)", digests.items())
    return False


def position(connection: psycopg.Connection, file: str) -> Position:
    """How far a claimed file is loaded."""
    row = connection.execute(
        "SELECT bytes_done, lines_done, loaded, rejected, finished_at IS NOT NULL"
        " FROM movielens_imports WHERE file = %s",
        [file],
    ).fetchone()
    if row is None:
        raise Fault(f"the import's record of {file} is gone: run again with --replace")
    return Position(row[0], row[1], row[2], Counter(row[3]), row[4])


def save(connection: psycopg.Connection, report: FileReport, bytes_done: int, lines_done: int) -> None:
    """Record how far a file is loaded, in the transaction that loads it so far."""
    connection.execute(
        "UPDATE movielens_imports SET bytes_done = %s, lines_done = %s, loaded = %s, rejected = %s"
        " WHERE file = %s",
        [bytes_done, lines_done, report.loaded, Jsonb(dict(report.rejected)), report.file],
    )


def finish(connection: psycopg.Connection, file: str) -> None:
    """Record that a file is loaded."""
    connection.execute("UPDATE movielens_imports SET finished_at = now() WHERE file = %s", [file])


def _empty_tables(connection: psycopg.Connection) -> None:
    """Delete, not truncate: Debezium does not pass truncations on. Children first: no cascades."""
    for name in (*reversed(list(tables())), "movielens_imports"):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))


def _recorded_digests(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT file, sha256 FROM movielens_imports").fetchall())


def _hold_rows(connection: psycopg.Connection) -> bool:
    parts = [sql.SQL("(SELECT 1 FROM {} LIMIT 1)").format(sql.Identifier(name)) for name in tables()]
    return connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchone() is not None
