"""The formats of single files: separators, headers and columns, told from a file's first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.encodings import UTF_8, Encoding, undecodable
from dataflix_postgres.movielens.records import BadLineError, Reason
from dataflix_postgres.movielens.source import LONGEST_LINE

R = TypeVar("R")
Split = Callable[[str], Sequence[str]]
Make = Callable[[Sequence[str]], R]

#: In the order in which they are tried: a comma is in many titles, and ``|`` is between genres.
_SEPARATORS = {"::": "::", "\t": "tabs", ";": "semicolons", ",": "commas", "|": "|"}
_QUOTED = frozenset({",", ";"})
#: Other names of columns, without capitals, blanks and underscores.
_OTHER_NAMES = {"itemid": "movieid"}


@dataclass(frozen=True, slots=True)
class Layout(Generic[R]):
    """One way in which the lines of a file can be made up.

    Attributes:
        columns: the columns that a record is made of, as a header names them.
        make: makes a record of their fields, or raises `BadLineError`.
        fields: how many fields a line without header has; None where there must be a header.
        separators: what can stand between fields.
    """

    columns: tuple[str, ...]
    make: Make[R]
    fields: int | None = None
    separators: Collection[str] = tuple(_SEPARATORS)


@dataclass(frozen=True, slots=True)
class FileFormat(Generic[R]):
    """How one file of a data set is read.

    Attributes:
        name: the file's name.
        split: makes fields of a line's text.
        make: makes a record of the fields, or raises `BadLineError`.
        separator: what stands between fields, for people.
        header_lines: how many lines stand before the first record.
        encoding: how the file is encoded.
    """

    name: str
    split: Split
    make: Make[R]
    separator: str
    header_lines: int = 0
    encoding: Encoding = UTF_8

    def parse(self, line: str) -> R:
        """Make a record of a line.

        Raises:
            BadLineError: it is none.
        """
        if len(line) >= LONGEST_LINE:
            raise BadLineError(Reason.LENGTH)
        if not line.isascii():
            if undecodable(line):
                raise BadLineError(Reason.ENCODING)
            line = self.encoding.repair(line)
        return self.make(self.split(line))


def recognise_format(
    name: str, first_lines: Sequence[str], layouts: Sequence[Layout[R]], encoding: Encoding
) -> FileFormat[R]:
    """Tell the format of a file from its first lines: by its header, or by what its lines hold.

    Raises:
        Fault: it is none of the layouts.
    """
    skipped = 0
    # Excel can be told the separator in a line of its own.
    while skipped < len(first_lines) and _says_nothing(first_lines[skipped]):
        skipped += 1
    sample = first_lines[skipped:]
    if not sample:
        raise Fault(f"{name} is empty: download the data set again, or export the file again")
    for layout in layouts:
        for separator in layout.separators:
            found = _with_header(name, sample[0], layout, separator)
            if found is not None:
                return FileFormat(name, *found, _SEPARATORS[separator], skipped + 1, encoding)
    for layout in layouts:
        for separator in layout.separators:
            split = _splitter(separator, quoted=separator in _QUOTED)
            found_format = FileFormat(name, split, layout.make, _SEPARATORS[separator], skipped, encoding)
            if layout.fields is not None and _fits(found_format, layout.fields, sample):
                return found_format
    raise Fault(_why_none(name, sample[0], layouts))


def _says_nothing(line: str) -> bool:
    return not line.strip() or line.lower().startswith("sep=")


def _why_none(name: str, header: str, layouts: Sequence[Layout[R]]) -> str:
    wanted = " or ".join(",".join(layout.columns) for layout in layouts)
    named = {plain_name(title) for title in re.split(r"[,;|\t]|::", header)}
    missing = [each for each in layouts[0].columns if plain_name(each) not in named]
    hint = f": there is no column {', '.join(missing)}" if len(missing) < len(layouts[0].columns) else ""
    return (
        f"{name} does not begin with {wanted}, and its lines do not hold these fields in this order{hint}."
        " Give it a first line that names its columns as here, in any order; between them can be a comma,"
        " a semicolon, a tab, | or ::"
    )


def _with_header(name: str, header: str, layout: Layout[R], separator: str) -> tuple[Split, Make[R]] | None:
    try:
        titles = _splitter(separator, quoted=True)(header)
    except BadLineError:
        return None
    found = [plain_name(title) for title in titles]
    wanted = [plain_name(column) for column in layout.columns]
    if not set(wanted) <= set(found):
        return None
    if twice := {each for each in wanted if found.count(each) > 1}:
        raise Fault(f"{name} has two columns {', '.join(sorted(twice))}: delete one of them")
    split = _splitter(separator, quoted=separator in _QUOTED or '"' in header)
    if found == wanted:
        return split, layout.make
    return split, _picking([found.index(each) for each in wanted], len(found), layout.make)


def plain_name(title: str) -> str:
    """A column's name as it is compared: movieId, MovieID, "movie_id" and item_id are one."""
    plain = "".join(letter for letter in title.lower() if letter not in " _-\"'")
    return _OTHER_NAMES.get(plain, plain)


def _picking(places: Sequence[int], fields: int, make: Make[R]) -> Make[R]:
    pick = itemgetter(*places)

    def picked(found: Sequence[str]) -> R:
        if len(found) != fields:
            raise BadLineError(Reason.FIELDS)
        return make(pick(found))

    return picked


def _fits(file: FileFormat[R], fields: int, sample: Sequence[str]) -> bool:
    """Whether the first line, which could be a header of others, and more than half of all are records."""
    good = 0
    for place, line in enumerate(sample):
        if place > good == 0:
            return False
        try:
            if len(file.split(line)) == fields:
                file.parse(line)
                good += 1
        except BadLineError:
            continue
    return 2 * good > len(sample)


def _splitter(separator: str, *, quoted: bool) -> Split:
    if not quoted or len(separator) > 1:
        return lambda text: text.split(separator)

    def split(text: str) -> Sequence[str]:
        """Each line stands alone, so that a stray quote spoils no other line."""
        if '"' not in text:
            return text.split(separator)
        try:
            return next(csv.reader([text], strict=True, delimiter=separator))
        except (csv.Error, StopIteration):
            raise BadLineError(Reason.QUOTES) from None

    return split
