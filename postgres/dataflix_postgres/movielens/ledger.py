"""The table ``movielens_imports``: which files the tables hold, and how far each is loaded.

There is one in the schema of the tables, and one in the schema in which a replacement is staged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.report import FileReport


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file is loaded."""

    lines_done: int
    loaded: int
    rejected: Counter[str]
    finished: bool


def digests(connection: psycopg.Connection) -> dict[str, str]:
    """The digest of each file that is recorded."""
    return dict(connection.execute("SELECT file, sha256 FROM movielens_imports").fetchall())


def open_files(connection: psycopg.Connection, files: Mapping[str, str]) -> None:
    """Record that files with these digests are about to be loaded."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO movielens_imports (file, sha256) VALUES (%s, %s)", files.items())


def position(connection: psycopg.Connection, file: str) -> Position:
    """How far a recorded file is loaded."""
    row = connection.execute(
        "SELECT lines_done, loaded, rejected, finished_at IS NOT NULL FROM movielens_imports WHERE file = %s",
        [file],
    ).fetchone()
    if row is None:
        raise Fault(f"the import's record of {file} is gone: run again with --replace")
    return Position(row[0], row[1], Counter(row[2]), row[3])


def save(connection: psycopg.Connection, report: FileReport, lines_done: int) -> None:
    """Record how far a file is loaded, in the transaction that loads it so far."""
    connection.execute(
        "UPDATE movielens_imports SET lines_done = %s, loaded = %s, rejected = %s WHERE file = %s",
        [lines_done, report.loaded, Jsonb(dict(report.rejected)), report.file],
    )


def finish(connection: psycopg.Connection, file: str) -> None:
    """Record that a file is loaded."""
    connection.execute("UPDATE movielens_imports SET finished_at = now() WHERE file = %s", [file])
