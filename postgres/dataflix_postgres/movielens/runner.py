"""Loads the files of a release in batches, each in a transaction that records how far it came."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeVar

import psycopg
from rich.console import Console

from dataflix_contract.faults import Fault
from dataflix_contract.progress import progress
from dataflix_postgres.database import advance_identities
from dataflix_postgres.movielens import ledger
from dataflix_postgres.movielens.dataset_files import Chunk, chunks, lines
from dataflix_postgres.movielens.formats import FileFormat
from dataflix_postgres.movielens.loaders import Loader, MovieLoader, RatingLoader, UserLoader
from dataflix_postgres.movielens.records import ADVICE, BadLineError, Movie, Rating, Reason, User
from dataflix_postgres.movielens.releases import Release
from dataflix_postgres.movielens.report import FileReport, Reject, RejectsFile, some_lines
from dataflix_postgres.movielens.wal_headroom import WalHeadroom

R = TypeVar("R", Movie, User, Rating)

#: Bounds memory and the size of a transaction: a killed import loses at most this much work.
LINES_AT_ONCE = 50_000
#: The WAL that so many lines make, and as much again.
_WAL_AT_ONCE = 128 << 20


class UnusableFileError(Fault):
    """A file most of whose lines cannot be loaded."""


def load_release(
    connection: psycopg.Connection, release: Release, rejects: RejectsFile, console: Console, *, staged: bool
) -> Iterator[FileReport]:
    """Load a recorded release, file by file, each from where an earlier run left it.

    Args:
        connection: its search path says which tables are filled.
        release: what to load.
        rejects: where rejected lines are written.
        console: where progress is shown.
        staged: whether the tables are staged ones: nobody captures those, or adds rows of their own.

    Raises:
        Fault: most lines of a file cannot be loaded, or rows of others are in the way.
    """
    files = _FileRunner(connection, release, rejects, console, staged=staged)
    yield files.run(release.movies, MovieLoader(connection))
    if release.users is not None:
        yield files.run(release.users, UserLoader(connection))
    yield files.run(release.ratings, RatingLoader(connection, make_users=release.users is None))


class _FileRunner:
    """Takes one file after another through parsing and loading."""

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
        """Load what is left of a file."""
        started = time.monotonic()
        done = ledger.position(self._connection, file.name)
        report = FileReport(
            file.name, file.encoding.name, file.separator, done.loaded, done.rejected, unchanged=done.finished
        )
        if not done.finished:
            self._rest(file, loader, max(done.lines_done, file.header_lines), report)
            self._check(report)
            with self._connection.transaction():
                ledger.finish(self._connection, file.name)
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
                ledger.save(self._connection, report, chunk.last_line)
                if not self._staged:
                    advance_identities(self._connection)
                self._rejects.write(file.name, rejects)
        except psycopg.errors.UniqueViolation as error:
            raise Fault(
                "rows that are not from this import have taken ids or addresses that it needs:"
                " run again with --replace to delete them first"
            ) from error

    def _check(self, report: FileReport) -> None:
        """Refuse a file most of whose lines could not be loaded: it is not what it was taken for."""
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
    """Where some of the lines that were refused for a reason are; an earlier run's are not known."""
    numbers = report.examples.get(reason.value)
    return f" in {some_lines(numbers, report.rejected[reason.value])}" if numbers else ""


def _parse(file: FileFormat[R], chunk: Chunk) -> tuple[dict[int, R], dict[int, Reason]]:
    """The records of some lines, and why others are none; empty lines are neither."""
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
