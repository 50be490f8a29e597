"""The formats that MovieLens releases come in, and how to tell them apart.

======================  ===========================  =========  ==============================
releases                files                        encoding   lines
======================  ===========================  =========  ==============================
latest, 20m, 25m, 32m   movies.csv, ratings.csv      UTF-8      CSV with a header
1m                      movies.dat, ratings.dat,     Latin-1    fields between ``::``
                        users.dat
10m                     movies.dat, ratings.dat      UTF-8      fields between ``::``
100k                    u.item, u.data, u.user       Latin-1    ``|``, tab (u.data), ``|``
======================  ===========================  =========  ==============================
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.records import (
    BadLineError,
    Movie,
    Rating,
    Reason,
    User,
    birth_year,
    identity,
    movie,
    rating,
    whole_number,
)
from dataflix_postgres.movielens.titles import split_title

R = TypeVar("R")

#: No line of a release comes near this, and what it holds fits the tables (0005_text_limits.sql).
LONGEST_LINE = 4096


@dataclass(frozen=True, slots=True)
class FileFormat(Generic[R]):
    """How one file of a release is read.

    Attributes:
        name: the file's name.
        encoding: its encoding.
        split: makes fields of a line's text.
        make: makes a record of the fields, or raises `BadLineError`.
        header: the first line, where it is no record.
    """

    name: str
    encoding: str
    split: Callable[[str], Sequence[str]]
    make: Callable[[Sequence[str]], R]
    header: str | None = None

    def parse(self, line: bytes) -> R:
        """Make a record of a line.

        Raises:
            BadLineError: it is none.
        """
        if len(line) >= LONGEST_LINE:
            raise BadLineError(Reason.LENGTH)
        try:
            text = line.decode(self.encoding)
        except UnicodeDecodeError:
            raise BadLineError(Reason.ENCODING) from None
        return self.make(self.split(text.rstrip("\r\n")))


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a release; without a users' file, the ratings say which users there are."""

    name: str
    movies: FileFormat[Movie]
    ratings: FileFormat[Rating]
    users: FileFormat[User] | None = None

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files that must be there."""
        files = (self.movies, self.users, self.ratings)
        return tuple(file.name for file in files if file is not None)


def recognise(names: Collection[str]) -> Release:
    """Tell the release by the names of its files.

    Raises:
        Fault: it is none that we know.
    """
    for release in RELEASES:
        if set(release.file_names) <= set(names):
            return release
    known = "; ".join(", ".join(release.file_names) for release in RELEASES)
    raise Fault(f"this is no MovieLens release: it needs the files of one of these: {known}")


def split_csv(text: str) -> Sequence[str]:
    """Split one line of CSV; each line stands alone, so that a stray quote spoils no other line."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise BadLineError(Reason.QUOTES) from None


def split_colons(text: str) -> Sequence[str]:
    """Split a line of the 1m and 10m releases."""
    return text.split("::")


def split_pipes(text: str) -> Sequence[str]:
    """Split a line of the 100k release's films and users."""
    return text.split("|")


def split_tabs(text: str) -> Sequence[str]:
    """Split a line of the 100k release's ratings."""
    return text.split("\t")


def _movie(fields: Sequence[str]) -> Movie:
    if len(fields) != 3:  # noqa: PLR2004 - id, title, genres
        raise BadLineError(Reason.FIELDS)
    return movie(fields[0], fields[1], fields[2].split("|"))


#: u.genre of the 100k release, in the order of the flags in u.item.
_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi"),
    *("Thriller", "War", "Western"),
)
_FIELDS_BEFORE_FLAGS = 5


def _movie_100k(fields: Sequence[str]) -> Movie:
    if len(fields) != _FIELDS_BEFORE_FLAGS + len(_GENRES_100K):
        raise BadLineError(Reason.FIELDS)
    movie_id, title, released = fields[:3]
    flags = fields[_FIELDS_BEFORE_FLAGS:]
    if not set(flags) <= {"0", "1"}:
        raise BadLineError(Reason.NUMBER)
    found = movie(movie_id, title, [g for g, flag in zip(_GENRES_100K, flags, strict=True) if flag == "1"])
    if found.release_year is None:
        return found._replace(release_year=_year_of_date(released))
    return found


def _year_of_date(text: str) -> int | None:
    """The year of ``01-Jan-1995``, by the same rule as a title's."""
    return split_title(f"date ({text[-4:]})")[1]


#: 1m gives brackets of age by their lower bound: the middle of each.
_AGE_OF_BRACKET = {"1": "15", "18": "21", "25": "30", "35": "40", "45": "47", "50": "53", "56": "62"}
_YEAR_OF_1M = 2000
_YEAR_OF_100K = 1998


def _user_1m(fields: Sequence[str]) -> User:
    if len(fields) != 5:  # noqa: PLR2004 - id, gender, age, occupation, postcode
        raise BadLineError(Reason.FIELDS)
    bracket = fields[2]
    whole_number(bracket)
    if bracket not in _AGE_OF_BRACKET:
        raise BadLineError(Reason.AGE)
    return User(identity(fields[0]), birth_year(_AGE_OF_BRACKET[bracket], _YEAR_OF_1M))


def _user_100k(fields: Sequence[str]) -> User:
    if len(fields) != 5:  # noqa: PLR2004 - id, age, gender, occupation, postcode
        raise BadLineError(Reason.FIELDS)
    return User(identity(fields[0]), birth_year(fields[1], _YEAR_OF_100K))


#: Every release; 1m before 10m, whose files are some of its.
RELEASES = (
    Release(
        "csv",
        FileFormat("movies.csv", "utf-8", split_csv, _movie, "movieId,title,genres"),
        FileFormat("ratings.csv", "utf-8", split_csv, rating, "userId,movieId,rating,timestamp"),
    ),
    Release(
        "1m",
        FileFormat("movies.dat", "latin-1", split_colons, _movie),
        FileFormat("ratings.dat", "latin-1", split_colons, rating),
        FileFormat("users.dat", "latin-1", split_colons, _user_1m),
    ),
    Release(
        "10m",
        FileFormat("movies.dat", "utf-8", split_colons, _movie),
        FileFormat("ratings.dat", "utf-8", split_colons, rating),
    ),
    Release(
        "100k",
        FileFormat("u.item", "latin-1", split_pipes, _movie_100k),
        FileFormat("u.data", "latin-1", split_tabs, rating),
        FileFormat("u.user", "latin-1", split_pipes, _user_100k),
    ),
)
