"""Load the files of a release in batches, so that an interrupted import can continue.

Each batch is one transaction, which also records in the table ``movielens_imports`` how far each file is
loaded. There is one such table beside the contract's tables, and one beside the staging tables.

Before each batch of rows that Debezium captures, the import waits until there is room for its WAL: it writes
much of it, and a replication slot that falls too far behind is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console

from dataflix_contract.console import progress
from dataflix_contract.faults import Fault
from dataflix_postgres.database import advance_identities
from dataflix_postgres.movielens.dataset_files import Chunk, chunks, lines
from dataflix_postgres.movielens.formats import FileFormat
from dataflix_postgres.movielens.import_report import FileReport, Reject, RejectsFile, some_lines
from dataflix_postgres.movielens.loaders import Loader, MovieLoader, RatingLoader, UserLoader
from dataflix_postgres.movielens.records import ADVICE, BadLineError, Movie, Rating, Reason, User
from dataflix_postgres.movielens.releases import Release

#: How much WAL may be written before a slot is lost; NULL: there is no limit, or no slot. Lost slots are left
#: out, since waiting does not help them.
_ROOM = "SELECT min(safe_wal_size)::bigint FROM pg_replication_slots WHERE wal_status <> 'lost'"
_LIMIT = "SELECT setting::bigint * 1024 * 1024 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_WITHOUT_PROGRESS = 120.0
R = TypeVar("R", Movie, User, Rating)

#: The lines of one batch. This bounds the memory, and the work that is lost if the import is killed.
LINES_AT_ONCE = 50_000
#: Twice the WAL that a batch of so many lines writes.
_WAL_AT_ONCE = 128 << 20


@dataclass(frozen=True, slots=True)
class _Position:
    """How far a file is loaded."""

    lines_done: int
    loaded: int
    rejected: Counter[str]
    finished: bool


def recorded_digests(connection: psycopg.Connection) -> dict[str, str]:
    """Read the digest of each recorded file."""
    return dict(connection.execute("SELECT file, sha256 FROM movielens_imports").fetchall())


def record_files(connection: psycopg.Connection, files: Mapping[str, str]) -> None:
    """Record that files with these digests are about to be loaded."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO movielens_imports (file, sha256) VALUES (%s, %s)", files.items())


def _recorded_position(connection: psycopg.Connection, file: str) -> _Position:
    """Read how far a recorded file is loaded."""
    row = connection.execute(
        "SELECT lines_done, loaded, rejected, finished_at IS NOT NULL FROM movielens_imports WHERE file = %s",
        [file],
    ).fetchone()
    if row is None:
        raise Fault(f"the import's record of {file} is gone: run again with --replace")
    return _Position(row[0], row[1], Counter(row[2]), row[3])


def _record_position(connection: psycopg.Connection, report: FileReport, lines_done: int) -> None:
    """Record how far a file is loaded, in the transaction that loads the batch."""
    connection.execute(
        "UPDATE movielens_imports SET lines_done = %s, loaded = %s, rejected = %s WHERE file = %s",
        [lines_done, report.loaded, Jsonb(dict(report.rejected)), report.file],
    )


def _record_end(connection: psycopg.Connection, file: str) -> None:
    """Record that a file is loaded completely."""
    connection.execute("UPDATE movielens_imports SET finished_at = now() WHERE file = %s", [file])


class WalHeadroom:
    """Knows how much WAL may be written before a replication slot is lost, and waits for more room."""

    def __init__(self, connection: psycopg.Connection, console: Console) -> None:
        self._connection = connection
        self._console = console

    def limit(self) -> int | None:
        """How many bytes of WAL a slot may keep; None: there is no slot, or no limit."""
        return None if self._now() is None else _number(self._connection, _LIMIT)

    def wait_for(self, needed: int) -> None:
        """Wait until so many bytes of WAL may be written.

        Raises:
            Fault: nothing reads the slots: their room has not grown for two minutes.
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


class UnusableFileError(Fault):
    """Most lines of a file cannot be loaded."""


def load_release(
    connection: psycopg.Connection, release: Release, rejects: RejectsFile, console: Console, *, staged: bool
) -> Iterator[FileReport]:
    """Load a recorded release, file by file, each from where an earlier run stopped.

    Args:
        connection: to the database; its search path says which tables are filled.
        release: the data set.
        rejects: where rejected lines are written.
        console: where progress is shown.
        staged: whether staging tables are filled, which are not captured and have no other writers.

    Raises:
        Fault: most lines of a file cannot be loaded, or other rows have taken ids that it needs.
    """
    files = _FileRunner(connection, release, rejects, console, staged=staged)
    yield files.run(release.movies, MovieLoader(connection))
    if release.users is not None:
        yield files.run(release.users, UserLoader(connection))
    yield files.run(release.ratings, RatingLoader(connection, make_users=release.users is None))


class _FileRunner:
    """Parses and loads one file after the other."""

    def __init__(
        self,
        connection: psycopg.Connection,
        release: Release,
        rejects: RejectsFile,
        console: Console,
        *,
        staged: bool,
    ) -> None:
        self._connection = connection
        self._release = release
        self._rejects = rejects
        self._console = console
        self._staged = staged
        self._headroom = WalHeadroom(connection, console)

    def run(self, file: FileFormat[R], loader: Loader[R]) -> FileReport:
        """Load the rest of a file, and report on the whole of it."""
        started = time.monotonic()
        done = _recorded_position(self._connection, file.name)
        report = FileReport(
            file.name, file.encoding.name, file.separator, done.loaded, done.rejected, unchanged=done.finished
        )
        if not done.finished:
            self._rest(file, loader, max(done.lines_done, file.header_lines), report)
            self._check(report)
            with self._connection.transaction():
                _record_end(self._connection, file.name)
        report.seconds = time.monotonic() - started
        return report

    def _rest(self, file: FileFormat[R], loader: Loader[R], lines_done: int, report: FileReport) -> None:
        total = self._release.surveys[file.name].lines
        numbered = file.joined(lines(self._release.entries[file.name], file.encoding))
        with progress(file.name, self._console, total, lines_done) as shown:
            for chunk in chunks(numbered, lines_done, LINES_AT_ONCE):
                self._load_chunk(file, loader, chunk, report)
                shown.advance(len(chunk.lines))

    def _load_chunk(self, file: FileFormat[R], loader: Loader[R], chunk: Chunk, report: FileReport) -> None:
        records, refused = _parse(file, chunk)
        if not self._staged:
            self._headroom.wait_for(_WAL_AT_ONCE)
        try:
            with self._connection.transaction():
                not_loaded = loader.load(records)
                rejects = _rejects(chunk, refused | not_loaded)
                report.add(len(records) - len(not_loaded), rejects)
                _record_position(self._connection, report, chunk.last_line)
                if not self._staged:
                    advance_identities(self._connection)
                self._rejects.write(file.name, rejects)
        except psycopg.errors.UniqueViolation as error:
            raise Fault(
                "rows that are not from this import have taken ids or addresses that it needs:"
                " run again with --replace to delete them first"
            ) from error

    def _check(self, report: FileReport) -> None:
        """Raise an error if most lines of a file could not be loaded, since its format was then mistaken."""
        if report.loaded and 2 * report.unusable <= report.read and not report.has_another_scale:
            return
        reasons = Counter({reason: report.rejected[reason.value] for reason in Reason})
        del reasons[Reason.DUPLICATE]
        why = ", ".join(
            f"{reason.value} ({count:,}){_at(report, reason)}"
            for reason, count in reasons.most_common()
            if count
        )
        first = Reason.SCALE if report.has_another_scale else reasons.most_common(1)[0][0]
        advice = ADVICE.get(first, "look at the file, or at the lines that --rejects FILE writes")
        left = "nothing was changed" if self._staged else "what could be loaded is in the tables"
        raise UnusableFileError(
            f"{report.unusable:,} of {report.read:,} lines of {report.file}, read as {self._release.name} in"
            f" {report.encoding} with {report.separator} between fields, cannot be loaded: {why}; {left}."
            f" {advice[0].upper()}{advice[1:]}, then run again with --replace"
        )


def _at(report: FileReport, reason: Reason) -> str:
    """The numbers of some lines that this run refused for a reason; empty: it refused none."""
    numbers = report.examples.get(reason.value)
    return f" in {some_lines(numbers, report.rejected[reason.value])}" if numbers else ""


def _parse(file: FileFormat[R], chunk: Chunk) -> tuple[dict[int, R], dict[int, Reason]]:
    """Parse lines into records, and the reasons of those that are none; empty lines are left out."""
    records: dict[int, R] = {}
    refused: dict[int, Reason] = {}
    for number, line in enumerate(chunk.lines, start=chunk.first_line):
        try:
            records[number] = file.parse(line)
        except BadLineError as error:
            if line.strip():
                refused[number] = error.reason
    return records, refused


def _rejects(chunk: Chunk, refused: Mapping[int, Reason]) -> list[Reject]:
    return [
        Reject(number, refused[number], chunk.lines[number - chunk.first_line]) for number in sorted(refused)
    ]
