"""Recognise kinds of files that cannot be imported, for messages that say what to do with them.

They are recognised by their first bytes or their names, such as an Excel workbook in place of a CSV file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: How many bytes at the beginning of a file are enough to recognise its kind.
BYTES_OF_KIND = 512

_UNPACK = "unpack it, and import what was in it"
_EXPORT = "export it as CSV, and import that"
_AGAIN = "download the data set again"


class _Kind(NamedTuple):
    """One kind of file.

    Attributes:
        name: the kind's name in messages.
        advice: what to do with such a file.
        starts: the bytes with which it can begin, with letters in lower case.
        endings: the endings that its name can have, in lower case.
    """

    name: str
    advice: str
    starts: tuple[bytes, ...] = ()
    endings: tuple[str, ...] = ()


_KINDS = (
    _Kind("an Excel workbook", _EXPORT, endings=(".xlsx", ".xls")),
    _Kind("a zip archive", _UNPACK, (b"pk\x03\x04", b"pk\x05\x06")),
    _Kind("a 7-Zip archive", _UNPACK, (b"7z\xbc\xaf\x27\x1c",), (".7z",)),
    _Kind("a RAR archive", _UNPACK, (b"rar!\x1a\x07",), (".rar",)),
    _Kind("compressed by gzip", "give it a name that ends in .gz", (b"\x1f\x8b",)),
    _Kind("compressed by bzip2", _UNPACK, (b"bzh",), (".bz2",)),
    _Kind("compressed by xz", _UNPACK, (b"\xfd7zxz\x00",), (".xz",)),
    _Kind("compressed by zstd", _UNPACK, (b"\x28\xb5\x2f\xfd",), (".zst",)),
    _Kind("a Parquet file", _EXPORT, (b"par1",), (".parquet",)),
    _Kind("a Feather file", _EXPORT, (b"arrow1", b"fea1"), (".feather", ".arrow")),
    _Kind("a SQLite database", _EXPORT, (b"sqlite format 3\x00",), (".sqlite", ".sqlite3", ".db")),
    _Kind("a file of pandas", _EXPORT, endings=(".pkl", ".pickle", ".h5")),
    _Kind("JSON", _EXPORT, (b"{", b"["), (".json", ".jsonl", ".ndjson")),
    _Kind("a web page, such as a download that asks for a login", _AGAIN, (b"<!doctype html", b"<html")),
    _Kind("a pointer of Git LFS", "fetch the file itself (git lfs pull)", (b"version https://git-lfs",)),
)
#: The additions of browsers and desktops to the name of a copy, and of editors to that of a text.
_COPY = re.compile(r"(?: ?\(\d+\)| - copy| copy)(?=\.)|(?<=\.csv|\.dat)\.txt$")
_TEXT = re.compile(r"\.txt$")


def kind_by_content(start: bytes) -> str:
    """Say what kind of file begins so, and what to do: "is JSON: export it ..."; empty: it is unknown."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    return next((_sentence(kind) for kind in _KINDS if kind.starts and text.startswith(kind.starts)), "")


def kind_by_name(name: str) -> str:
    """Say the same by the ending of a file's name."""
    return next((_sentence(kind) for kind in _KINDS if name.lower().endswith(kind.endings or "\0")), "")


def original_name(name: str) -> str:
    """The name of the file that this one seems to be a copy of: ``ratings.csv`` for "Ratings (1).csv"."""
    return _TEXT.sub(".csv", _COPY.sub("", name.lower()))


def _sentence(kind: _Kind) -> str:
    return f"is {kind.name}: {kind.advice}"
