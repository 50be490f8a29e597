"""Loads the files of a release in batches, each in a transaction that records how far it came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TypeVar

import psycopg
from rich.console import Console

from dataflix_postgres.faults import Fault
from dataflix_postgres.identities import advance_identities
from dataflix_postgres.movielens import ledger
from dataflix_postgres.movielens.formats import FileFormat, Release
from dataflix_postgres.movielens.loaders import Loader, MovieLoader, RatingLoader, UserLoader
from dataflix_postgres.movielens.records import BadLineError, Movie, Rating, Reason, User
from dataflix_postgres.movielens.report import FileReport, Reject, RejectsFile
from dataflix_postgres.movielens.source import Chunk, Entry, chunks
from dataflix_postgres.progress import progress

R = TypeVar("R", Movie, User, Rating)

#: Bounds memory and the size of a transaction: a killed import loses at most this much work.
LINES_AT_ONCE = 50_000


def load_release(
    connection: psycopg.Connection,
    release: Release,
    entries: Mapping[str, Entry],
    rejects: RejectsFile,
    console: Console,
) -> Iterator[FileReport]:
    """Load a claimed release, file by file, each from where an earlier run left it.

    Raises:
        Fault: a file is not what its name says, or rows of others are in the way.
    """
    files = _FileRunner(connection, entries, rejects, console)
    yield files.run(release.movies, MovieLoader(connection))
    if release.users is not None:
        yield files.run(release.users, UserLoader(connection))
    yield files.run(release.ratings, RatingLoader(connection, make_users=release.users is None))


class _FileRunner:
    """Takes one file after another through parsing and loading."""

    def __init__(
        self,
        connection: psycopg.Connection,
        entries: Mapping[str, Entry],
        rejects: RejectsFile,
        console: Console,
    ) -> None:
        self._connection = connection
        self._entries = entries
        self._rejects = rejects
        self._console = console

    def run(self, file: FileFormat[R], loader: Loader[R]) -> FileReport:
        """Load what is left of a file."""
        started = time.monotonic()
        done = ledger.position(self._connection, file.name)
        report = FileReport(file.name, done.loaded, done.rejected, unchanged=done.finished)
        if not done.finished:
            self._rest(file, loader, done, report)
        report.seconds = time.monotonic() - started
        return report

    def _rest(
        self, file: FileFormat[R], loader: Loader[R], done: ledger.Position, report: FileReport
    ) -> None:
        entry, lines_done = self._entries[file.name], done.lines_done
        with (
            entry.open() as stream,
            progress(file.name, entry.size, self._console, done.bytes_done) as advance,
        ):
            stream.seek(done.bytes_done)
            if lines_done == 0 and file.header is not None:
                _check_header(file, stream.readline())
                lines_done = 1
            bytes_done = done.bytes_done
            for chunk in chunks(stream, lines_done, LINES_AT_ONCE):
                self._load_chunk(file, loader, chunk, report)
                advance(chunk.end - bytes_done)
                bytes_done = chunk.end
        with self._connection.transaction():
            ledger.finish(self._connection, file.name)

    def _load_chunk(self, file: FileFormat[R], loader: Loader[R], chunk: Chunk, report: FileReport) -> None:
        records, refused = _parse(file, chunk)
        try:
            with self._connection.transaction():
                refused |= loader.load(records)
                rejects = _rejects(file, chunk, refused)
                report.add(len(chunk.lines) - len(rejects), rejects)
                ledger.save(self._connection, report, chunk.end, chunk.first_line + len(chunk.lines) - 1)
                advance_identities(self._connection)
                self._rejects.write(file.name, rejects)
        except psycopg.errors.UniqueViolation as error:
            raise Fault(
                "rows that are not from this import have taken ids or addresses that it needs:"
                " run again with --replace to delete them first"
            ) from error


def _parse(file: FileFormat[R], chunk: Chunk) -> tuple[dict[int, R], dict[int, Reason]]:
    records: dict[int, R] = {}
    refused: dict[int, Reason] = {}
    for number, line in enumerate(chunk.lines, start=chunk.first_line):
        try:
            records[number] = file.parse(line)
        except BadLineError as error:
            refused[number] = error.reason
    return records, refused


def _rejects(file: FileFormat[R], chunk: Chunk, refused: Mapping[int, Reason]) -> list[Reject]:
    return [
        Reject(
            number, refused[number], chunk.lines[number - chunk.first_line].decode(file.encoding, "replace")
        )
        for number in sorted(refused)
    ]


def _check_header(file: FileFormat[R], line: bytes) -> None:
    if line.removeprefix(b"\xef\xbb\xbf").decode(file.encoding, "replace").strip() != file.header:
        raise Fault(f"{file.name} does not begin with {file.header}: this is no file of a MovieLens release")
