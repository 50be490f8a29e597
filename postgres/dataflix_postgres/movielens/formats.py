"""Recognise the format of a single file, its separator, header and columns, from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Generic, TypeVar

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.dataset_files import LONGEST_LINE
from dataflix_postgres.movielens.encodings import UTF_8, Encoding
from dataflix_postgres.movielens.records import BadLineError, Reason

R = TypeVar("R")
Split = Callable[[str], Sequence[str]]
Make = Callable[[Sequence[str]], R]

#: Separators with their names in messages, in the order in which they are tried. Comma and ``|`` are late,
#: since many titles have commas, and genres are separated by ``|``.
_SEPARATORS = {"::": "::", "\t": "tabs", ";": "semicolons", ",": "commas", "|": "|"}
_QUOTED = frozenset({",", ";"})
#: Other names of columns, in lower case without blanks and underscores.
_OTHER_NAMES = {"itemid": "movieid", "releaseyear": "year", "releasedate": "year"}
#: How many lines a record with line breaks in a quoted field may have.
_MOST_LINES_OF_A_RECORD = 20


@dataclass(frozen=True, slots=True)
class Layout(Generic[R]):
    """The columns that a kind of file can have, and how a record is made from them.

    Attributes:
        columns: the columns that a record needs, as a header names them.
        make: makes a record from their fields, or raises `BadLineError`.
        fields: how many fields a line has in a file without header; None: there must be a header.
        separators: the separators that are possible.
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
        split: splits a line's text into fields.
        make: makes a record from the fields, or raises `BadLineError`.
        separator: the separator's name in messages.
        header_lines: how many lines come before the first record.
        encoding: the file's encoding.
        quoted: whether fields can be in quotes.
    """

    name: str
    split: Split
    make: Make[R]
    separator: str
    header_lines: int = 0
    encoding: Encoding = UTF_8
    quoted: bool = False

    def parse(self, line: str) -> R:
        """Make a record from a line.

        Raises:
            BadLineError: the line is no valid record.
        """
        if len(line) >= LONGEST_LINE:
            raise BadLineError(Reason.LENGTH)
        if not line.isascii():
            if not self.encoding.fits(line):
                raise BadLineError(Reason.ENCODING)
            line = self.encoding.repair(line)
        return self.make(self.split(line))

    def joined(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, with the lines of a record that has quoted line breaks joined into one.

        A line break becomes a blank. Empty lines take the places of the joined lines, so that all others keep
        their numbers. Lines are only joined if the result is a record, so that a stray quote affects no other
        line.
        """
        if not self.quoted:
            yield from lines
            return
        rest = iter(lines)
        waiting: list[str] = []
        while (line := waiting.pop(0) if waiting else next(rest, None)) is not None:
            if line.count('"') % 2 == 0:
                yield line
                continue
            waiting += islice(rest, _MOST_LINES_OF_A_RECORD - 1 - len(waiting))
            more = self._lines_to_join(line, waiting)
            yield " ".join((line, *waiting[:more]))
            waiting[:more] = [""] * more

    def _lines_to_join(self, line: str, following: Sequence[str]) -> int:
        """How many following lines complete a line with an unpaired quote to a record; 0: none do."""
        for more, text in enumerate(following, start=1):
            line = f"{line} {text}"
            if self._is_record(text):
                break
            if text.count('"') % 2:
                return more if self._is_record(line) else 0
        return 0

    def _is_record(self, line: str) -> bool:
        try:
            self.parse(line)
        except BadLineError:
            return False
        return True


def recognise_format(
    name: str, first_lines: Sequence[str], layouts: Sequence[Layout[R]], encoding: Encoding
) -> FileFormat[R]:
    """Recognise the format of a file from its first lines: by its header, or by the contents of its lines.

    Raises:
        Fault: the file fits none of the layouts.
    """
    skipped = 0
    # A first line such as "sep=;" tells Excel the separator.
    while skipped < len(first_lines) and _is_blank(first_lines[skipped]):
        skipped += 1
    sample = first_lines[skipped:]
    if not sample:
        raise Fault(f"{name} is empty: download the data set again, or export the file again")
    for layout in layouts:
        for separator in layout.separators:
            found = _with_header(name, sample[0], layout, separator)
            if found is not None:
                quoted = _may_quote(separator, sample[0])
                return FileFormat(name, *found, _SEPARATORS[separator], skipped + 1, encoding, quoted)
    for layout in layouts:
        for separator in layout.separators:
            quoted = _may_quote(separator)
            split = _splitter(separator, quoted=quoted)
            found_format = FileFormat(
                name, split, layout.make, _SEPARATORS[separator], skipped, encoding, quoted
            )
            if layout.fields is not None and _fits(found_format, layout.fields, sample):
                return found_format
    raise Fault(_why_none(name, sample[0], layouts))


def _is_blank(line: str) -> bool:
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
    split = _splitter(separator, quoted=_may_quote(separator, header))
    if found == wanted:
        return split, layout.make
    return split, _pick_fields([found.index(each) for each in wanted], len(found), layout.make)


def plain_name(title: str) -> str:
    """A column's name in the form for comparisons: equal for movieId, MovieID, "movie_id" and item_id."""
    plain = "".join(letter for letter in title.lower() if letter not in " _-\"'")
    return _OTHER_NAMES.get(plain, plain)


def _pick_fields(places: Sequence[int], fields: int, make: Make[R]) -> Make[R]:
    pick = itemgetter(*places)

    def picked(found: Sequence[str]) -> R:
        if len(found) != fields:
            raise BadLineError(Reason.FIELDS)
        return make(pick(found))

    return picked


def _fits(file: FileFormat[R], fields: int, sample: Sequence[str]) -> bool:
    """Whether the first line (which might be an unknown header) and more than half of all are records."""
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


def _may_quote(separator: str, header: str = "") -> bool:
    return separator in _QUOTED or (len(separator) == 1 and '"' in header)


def _splitter(separator: str, *, quoted: bool) -> Split:
    if not quoted or len(separator) > 1:
        return lambda text: text.split(separator)

    def split(text: str) -> Sequence[str]:
        """Split a single line, so that a stray quote affects no other line."""
        if '"' not in text:
            return text.split(separator)
        try:
            return next(csv.reader([text], strict=True, delimiter=separator))
        except (csv.Error, StopIteration):
            raise BadLineError(Reason.QUOTES) from None

    return split
