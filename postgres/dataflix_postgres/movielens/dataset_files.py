"""Find and read the files of a data set, in a folder or in an archive, with a bounded amount of memory."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.encodings import Encoding, EncodingFinder
from dataflix_postgres.movielens.unsupported_files import BYTES_OF_KIND, kind_by_content, kind_by_name

#: Longer lines are cut. MovieLens' lines are far shorter, and texts of this length fit the tables
#: (0005_text_limits.sql).
LONGEST_LINE = 4096

_BLOCK = 1 << 20
#: How many levels below the given folder are searched for a data set.
_DEEPEST_FOLDER = 3
_MOST_FOLDERS = 2_000
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
#: The first bytes of zip, gzip, bzip2 and xz files.
_STARTS_OF_ARCHIVES = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_UNREADABLE = (
    *(OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    NotImplementedError,  # a compression that zipfile does not know
)
_ENCRYPTED = 0x1

#: The files of one folder, by their names in lower case and without ``.gz``.
Files = Mapping[str, "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its name, and a function that opens its decompressed content."""

    name: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one folder, on disk or in an archive.

    Attributes:
        name: its path, for messages.
        depth: how many levels below the given path; archives in a folder have the greatest depths.
        files: its files.
        fault: why an archive could not be read; empty: it was read.
        in_archive: whether the files are in an archive.
    """

    name: str
    depth: int
    files: Files
    fault: str = ""
    in_archive: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """The properties of a file that are found by reading it once.

    Attributes:
        sha256: digest of the content, and of the encoding's name if the user gave one.
        lines: the number of line ends: one less than the lines if the last one has none.
        encoding: the encoding of its text.
    """

    sha256: str
    lines: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole lines of a file, without line ends; a line that is too long is cut.

    Attributes:
        first_line: the number of the first of these lines, from 1.
        lines: their text.
    """

    first_line: int
    lines: list[str]

    @property
    def last_line(self) -> int:
        """The number of the last of these lines."""
        return self.first_line + len(self.lines) - 1


class _Gunzipped(gzip.GzipFile):
    """The decompressed content of a gzip stream; closing it also closes the stream."""

    def __init__(self, compressed: IO[bytes]) -> None:
        super().__init__(fileobj=compressed, mode="rb")
        self._compressed = compressed

    def close(self) -> None:
        super().close()
        self._compressed.close()


def survey(entry: Entry, *, holds_text: bool, named: Encoding | None = None) -> Survey:
    """Read a whole file once, for its digest, its encoding and its number of lines.

    Args:
        entry: the file.
        holds_text: whether there are words in it, and not only numbers.
        named: the encoding that the user named; None: it is found from the bytes.

    Raises:
        Fault: the file cannot be read, is no text, or its encoding cannot be found.
    """
    try:
        with entry.open() as stream:
            start = stream.read(BYTES_OF_KIND)
        if told := kind_by_content(start):
            raise Fault(f"{entry.name} {told}")
        return _survey(entry, EncodingFinder(holds_text=holds_text), named)
    except _UNREADABLE as error:
        raise Fault(f"cannot read {entry.name}: {_reason(error)}") from error


def _survey(entry: Entry, finder: EncodingFinder, named: Encoding | None) -> Survey:
    # The named encoding is part of the digest: the same bytes in another encoding are another import.
    digest, line_feeds, returns = hashlib.sha256(named.codec.encode() if named else b""), 0, 0
    with entry.open() as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            if named is None:
                finder.feed(block)
            line_feeds += block.count(b"\n")
            returns += block.count(b"\r")
    return Survey(digest.hexdigest(), max(line_feeds, returns), named or finder.encoding(entry.name))


def open_text(entry: Entry, encoding: Encoding, newline: str | None = None) -> io.TextIOWrapper:
    """Open a file as text; bytes that its encoding does not have are replaced by a mark."""
    return io.TextIOWrapper(entry.open(), encoding.codec, encoding.errors, newline)


def lines(entry: Entry, encoding: Encoding) -> Iterator[str]:
    """The lines of a file without their ends, of any kind; a line that is too long is cut."""
    with open_text(entry, encoding) as stream:
        mark = "\ufeff"
        while line := stream.readline(LONGEST_LINE):
            rest = line
            while len(rest) == LONGEST_LINE and not rest.endswith("\n"):
                rest = stream.readline(LONGEST_LINE)
            yield line.removeprefix(mark).removesuffix("\n")
            mark = ""


def chunks(numbered: Iterator[str], lines_done: int, lines_at_once: int) -> Iterator[Chunk]:
    """Split the lines after the first ``lines_done`` into chunks of ``lines_at_once`` lines."""
    for _ in islice(numbered, lines_done):
        pass
    while found := list(islice(numbered, lines_at_once)):
        yield Chunk(lines_done + 1, found)
        lines_done += len(found)


@contextlib.contextmanager
def open_source(path: Path, known: Collection[str]) -> Iterator[Iterator[Folder]]:
    """The folders at and below a path, or in an archive, each with its files; the outermost first.

    Archives in a folder come last.

    Args:
        path: a folder, an archive, or one of the files of a data set, which stands for its folder.
        known: the names that files of data sets have, in lower case.

    Raises:
        Fault: the path cannot be read.
    """
    try:
        with contextlib.ExitStack() as stack:
            yield _folders(path, known, stack)
    except _UNREADABLE as error:
        raise Fault(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Explain why something cannot be read, and what to do about it."""
    if isinstance(error, PermissionError):
        return "you may not: give yourself the right to read it (chmod +r), or import it as somebody who has"
    if isinstance(error, FileNotFoundError):
        return "it is not there, or a link to something that is not there"
    if isinstance(error, NotImplementedError):
        return "its compression is not known here: unpack the archive with another program first"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError):
        return "it ends too early: download the data set again"
    return "it is damaged: download the data set again"


def _folders(path: Path, known: Collection[str], stack: contextlib.ExitStack) -> Iterator[Folder]:
    if path.is_dir():
        yield from _walk(path)
        archives = [each for each in sorted(path.iterdir()) if _is_archive(each)]
        packed = [folder for each in archives for folder in _archive_beside(each, stack)]
        yield from sorted(packed, key=lambda folder: folder.depth)
    elif _plain(path.name) in known:
        yield Folder(str(path.parent), 0, _by_name(_files_in(path.parent)))
    elif path.is_file():
        yield from _archive(path, 0, stack)
    else:
        raise Fault(f"{path} is neither a file nor a folder: import a file or a folder")


def _is_archive(path: Path) -> bool:
    return path.is_file() and _visible(path.name) and is_archive_name(path.name)


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is taken for an archive."""
    return name.lower().endswith(_ARCHIVES)


def _archive_beside(path: Path, stack: contextlib.ExitStack) -> list[Folder]:
    """The folders in an archive beside other files. If it cannot be read, that is noted, not raised."""
    depth = _DEEPEST_FOLDER + 1
    try:
        return list(_archive(path, depth, stack))
    except Fault as fault:
        return [Folder(str(path), depth, {}, str(fault))]


def _members(path: Path, stack: contextlib.ExitStack) -> list[tuple[str, Callable[[], IO[bytes]]]]:
    try:
        if zipfile.is_zipfile(path):
            return list(_zip_members(stack.enter_context(zipfile.ZipFile(path))))
        return list(_tar_members(stack.enter_context(tarfile.TarFile.open(path))))
    except _UNREADABLE as error:
        raise Fault(_why_no_archive(path, error)) from error


def _why_no_archive(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read {path}: {_reason(error)}"
    with path.open("rb") as stream:
        start = stream.read(BYTES_OF_KIND)
    if not start:
        return f"{path} is empty: download the data set again"
    if is_archive_name(path.name) and start.startswith(_STARTS_OF_ARCHIVES):
        return f"{path} is an archive that is damaged or cut short: download it again"
    if told := kind_by_name(path.name) or kind_by_content(start):
        return f"{path} {told}"
    return (
        f"{path} must be a folder or an archive (zip, tar, tar.gz) of a data set, or one of its files, and is"
        " none of these"
    )


def _archive(path: Path, depth: int, stack: contextlib.ExitStack) -> Iterator[Folder]:
    members = _members(path, stack)
    folders: dict[PurePosixPath, list[Entry]] = {}
    for name, opener in members:
        at = PurePosixPath(name)
        if all(_visible(part) for part in at.parts):
            folders.setdefault(at.parent, []).append(_entry(at.name, opener))
    for at, entries in sorted(folders.items(), key=lambda folder: (len(folder[0].parts), folder[0])):
        yield Folder(f"{path / at}", depth + len(at.parts), _by_name(entries), in_archive=True)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    for info in archive.infolist():
        if info.flag_bits & _ENCRYPTED:
            raise Fault(f"{archive.filename} is encrypted: unpack it, and import the folder")
        name = info.filename.replace("\\", "/")  # some Windows programs write these, against the standard
        if not name.endswith("/"):
            yield name, _member_opener(archive, info)


def _member_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    for info in archive:
        if info.isfile():
            yield info.name, _tar_opener(archive, info)


def _tar_opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(info)
        assert stream is not None  # noqa: S101 - it is a regular file
        return stream

    return opened


def _walk(path: Path) -> Iterator[Folder]:
    """Yield the folder and those below it, level by level."""
    level, seen = [path], 0
    for depth in range(_DEEPEST_FOLDER + 1):
        below: list[Path] = []
        for folder in level:
            seen += 1
            if seen > _MOST_FOLDERS:
                return
            with contextlib.nullcontext() if folder == path else contextlib.suppress(PermissionError):
                yield Folder(str(folder), depth, _by_name(_files_in(folder)))
                below += [each for each in sorted(folder.iterdir()) if each.is_dir() and _visible(each.name)]
        level = below


def _files_in(folder: Path) -> list[Entry]:
    """The files of a folder, also broken links, which are reported when they are opened.

    Windows unpacks a single compressed file into a folder of the same name: then the file in it is taken.
    """
    return [
        _entry(file.name, _opener(inner if (inner := file / file.name).is_file() else file))
        for file in sorted(folder.iterdir())
        if _visible(file.name)
        and (file.is_file() or (file / file.name).is_file() or (file.is_symlink() and not file.exists()))
    ]


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _entry(name: str, opener: Callable[[], IO[bytes]]) -> Entry:
    if not name.lower().endswith(".gz"):
        return Entry(name, opener)
    return Entry(name, lambda: io.BufferedReader(_Gunzipped(opener())))


def _by_name(entries: Sequence[Entry]) -> Files:
    """The files by name in lower case, without ``.gz``; of several with the same name, the first is taken."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(_plain(entry.name), entry)
    return found


def _plain(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _visible(name: str) -> bool:
    """Whether a file may be data: not if it is hidden, or was added to the archive by macOS."""
    return not name.startswith(".") and name != "__MACOSX"
