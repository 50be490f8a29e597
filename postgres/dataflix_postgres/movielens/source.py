"""The files of a release, in a folder or in a zip archive, read in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.formats import LONGEST_LINE


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its size in bytes, and a function that opens it."""

    size: int
    open: Callable[[], IO[bytes]]

    def sha256(self) -> str:
        """Digest of the content."""
        with self.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole lines of a file.

    Attributes:
        first_line: the number of the first of them, from 1.
        lines: with their ends; one that is too long is cut at `LONGEST_LINE`.
        end: where the next chunk begins, in bytes.
    """

    first_line: int
    lines: list[bytes]
    end: int


@contextlib.contextmanager
def open_release(path: Path) -> Iterator[Mapping[str, Entry]]:
    """The files in a folder or a zip archive, by name.

    Raises:
        Fault: it cannot be read.
    """
    try:
        if path.is_dir():
            yield {file.name: _file_entry(file) for file in path.iterdir() if file.is_file()}
        else:
            with zipfile.ZipFile(path) as archive:
                yield _archive_entries(archive)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise Fault(f"cannot read {path}, which must be a folder or a zip archive: {error}") from error


def chunks(stream: IO[bytes], lines_done: int, lines_at_once: int) -> Iterator[Chunk]:
    """Read the rest of a file, so many lines at a time."""
    lines = _lines(stream)
    while found := list(islice(lines, lines_at_once)):
        yield Chunk(lines_done + 1, found, stream.tell())
        lines_done += len(found)


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE):
        rest = line
        while len(rest) == LONGEST_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE)
        yield line


def _file_entry(path: Path) -> Entry:
    return Entry(path.stat().st_size, lambda: path.open("rb"))


def _archive_entries(archive: zipfile.ZipFile) -> dict[str, Entry]:
    """The archive's files by name without folder; of files with one name, the outermost."""
    members = [info for info in archive.infolist() if not info.is_dir()]
    members.sort(key=lambda info: -info.filename.count("/"))
    return {PurePosixPath(info.filename).name: _member_entry(archive, info) for info in members}


def _member_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    return Entry(info.file_size, lambda: archive.open(info))
