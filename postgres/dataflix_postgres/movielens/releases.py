"""The data sets that can be imported, and how the one in a folder is recognised.

=========================  ==========================================  ==================================
data set                   files                                       lines
=========================  ==========================================  ==================================
latest, 20m, 25m, 32m      movies.csv, ratings.csv                     CSV with a header
Kaggle's movielens-20m     movie.csv, rating.csv                       the same; moments as text
1m                         movies.dat, ratings.dat, users.dat          fields between ``::``
10m                        movies.dat, ratings.dat                     the same
100k                       u.item, u.data, u.user                      ``|``, tab (u.data), ``|``
HetRec 2011                movies.dat, movie_genres.dat,               tabs, with a header
                           user_ratedmovies-timestamps.dat
Kaggle's the-movies-       links.csv, movies_metadata.csv,             CSV; metadata have TMDB's ids,
dataset                    ratings.csv                                 ratings MovieLens', links.csv both
=========================  ==========================================  ==================================

Files are found by their names; separator, columns and encoding are found from their contents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TextIO, TypeVar

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens import layouts
from dataflix_postgres.movielens.dataset_files import (
    Entry,
    Files,
    Folder,
    Survey,
    is_archive_name,
    lines,
    open_text,
    survey,
)
from dataflix_postgres.movielens.encodings import Encoding
from dataflix_postgres.movielens.formats import FileFormat, Layout, recognise_format
from dataflix_postgres.movielens.import_report import SHARE_OF_ANOTHER_SCALE
from dataflix_postgres.movielens.records import ADVICE, BadLineError, Movie, Rating, Reason, User
from dataflix_postgres.movielens.unsupported_files import kind_by_name, original_name

R = TypeVar("R")

#: How many lines of a file are read to recognise its format, and to see whether it can be read at all.
_SAMPLE = 2_000
#: How many possible faults of a folder are named at most.
_MOST_HINTS = 5


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set, described by the names of its files; each file can have several, in order of preference.

    Attributes:
        name: the data set's usual name.
        movies: names of the films' file.
        ratings: names of the ratings' file.
        movie_layouts: the layouts that the films' file can have.
        users: names of the users' file; empty: users are created from the ratings.
        user_layout: the layout of the users' file.
        companion: names of a further file that completes the films.
        complete: makes the films' layout from the companion's text.
    """

    name: str
    movies: tuple[str, ...]
    ratings: tuple[str, ...]
    movie_layouts: tuple[Layout[Movie], ...] = (layouts.MOVIES_WITH_YEAR, layouts.MOVIES)
    users: tuple[str, ...] = ()
    user_layout: Layout[User] = layouts.USERS_1M
    companion: tuple[str, ...] = ()
    complete: Callable[[TextIO, Encoding], Layout[Movie]] | None = None

    def missing(self, names: Iterable[str]) -> list[str]:
        """The data set's files that are not among these names."""
        there = set(names)
        parts = (self.movies, self.companion, self.users, self.ratings)
        return [part[0] for part in parts if part and there.isdisjoint(part)]


#: All data sets; if one folder has the files of several, the first of them is taken.
DATA_SETS = (
    DataSet("MovieLens as CSV (latest, 20M, 25M, 32M)", ("movies.csv",), ("ratings.csv",)),
    DataSet("Kaggle's movielens-20m", ("movie.csv",), ("rating.csv",)),
    DataSet("MovieLens 1M", ("movies.dat",), ("ratings.dat",), users=("users.dat",)),
    DataSet("MovieLens 10M, or 1M without its users", ("movies.dat",), ("ratings.dat",)),
    DataSet(
        "MovieLens 100K",
        ("u.item",),
        ("u.data",),
        (layouts.MOVIES_100K,),
        ("u.user",),
        layouts.USERS_100K,
    ),
    DataSet("MovieLens 100K without its users", ("u.item",), ("u.data",), (layouts.MOVIES_100K,)),
    DataSet(
        "HetRec 2011",
        ("movies.dat",),
        ("user_ratedmovies-timestamps.dat", "user_ratedmovies.dat"),
        companion=("movie_genres.dat",),
        complete=layouts.hetrec_movies,
    ),
    DataSet(
        "Kaggle's the-movies-dataset",
        ("links.csv", "links_small.csv"),
        ("ratings.csv", "ratings_small.csv"),
        companion=("movies_metadata.csv",),
        complete=layouts.tmdb_movies,
    ),
)


#: The names of the files of all data sets.
FILE_NAMES = frozenset(
    name
    for each in DATA_SETS
    for part in (each.movies, each.companion, each.users, each.ratings)
    for name in part
)


@dataclass(frozen=True, slots=True)
class Release:
    """A recognised data set: the format of each of its files, and their digests and encodings.

    Attributes:
        name: the data set's usual name.
        movies: the format of the films' file.
        ratings: the format of the ratings' file.
        users: the format of the users' file; None: there is none.
        entries: all files by name, including the companion.
        surveys: digest, encoding and length of each file, by name.
    """

    name: str
    movies: FileFormat[Movie]
    ratings: FileFormat[Rating]
    users: FileFormat[User] | None
    entries: Mapping[str, Entry] = field(repr=False)
    surveys: Mapping[str, Survey] = field(repr=False)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each file."""
        return {name: each.sha256 for name, each in self.surveys.items()}

    def __str__(self) -> str:
        """A text for people that says what was recognised."""
        files = [each for each in (self.movies, self.users, self.ratings) if each is not None]
        read_as = [f"{each.name} in {each.encoding.name}, separated by {each.separator}" for each in files]
        return f"{self.name}: {'; '.join(read_as)}"


def choose(folders: Iterable[Folder]) -> tuple[DataSet, Files]:
    """Choose the data set to import: the one in the outermost folder that has one.

    Raises:
        Fault: no folder has a data set, or several at the same depth have one.
    """
    seen: list[Folder] = []
    for _, same_depth in groupby(folders, lambda folder: folder.depth):
        level = list(same_depth)
        seen += level
        whole = [(folder, each) for folder in level if (each := _first_whole(folder.files)) is not None]
        if len(whole) > 1:
            found = "; ".join(f"{folder.name} ({each.name})" for folder, each in whole)
            packed = any(folder.in_archive and not is_archive_name(folder.name) for folder, _ in whole)
            first = "unpack the archive, and " if packed else ""
            raise Fault(f"there are several data sets: {first}import one of them by its path: {found}")
        if whole:
            return whole[0][1], whole[0][0].files
    raise Fault(_why_none(seen))


def _first_whole(names: Collection[str]) -> DataSet | None:
    return next((each for each in DATA_SETS if not each.missing(names)), None)


def _why_none(folders: Sequence[Folder]) -> str:
    """Say which files of the most similar data set are missing, and what there is instead."""
    begun = [
        ((len(missing), -len(each.missing(()))), each, folder, missing)
        for folder in folders
        for each in DATA_SETS
        if len(missing := each.missing(folder.files)) < len(each.missing(()))
    ]
    told = [elsewhere] if (elsewhere := _in_several(folders)) else []
    if begun and not elsewhere:
        _, nearest, folder, missing = min(begun, key=lambda one: one[0])
        known = {*nearest.movies, *nearest.companion, *nearest.users, *nearest.ratings}
        there = sorted(known & set(folder.files))
        told.append(
            f"{_are(there)} there, but for {nearest.name} {_are(missing)} missing in {folder.name or 'it'}"
        )
    elif not any(folder.files for folder in folders):
        told.append("there is no file in it")
    told += islice(_hints(folders), _MOST_HINTS)
    wanted = "".join(f"\n  {', '.join(each.missing(()))}: {each.name}" for each in DATA_SETS)
    return (
        f"this is no MovieLens release: {'; '.join(told) or 'it has none of their files'}."
        f" Import a folder or an archive with the files of one of these sets:{wanted}"
    )


def _are(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _hints(folders: Sequence[Folder]) -> Iterator[str]:
    """Files that may be the missing ones, but cannot be read or have another name."""
    for folder in folders:
        if folder.fault:
            yield folder.fault
        for entry in folder.files.values():
            if original_name(entry.name) in FILE_NAMES - {entry.name.lower()}:
                yield f"rename {entry.name} to {original_name(entry.name)}"
            elif told := kind_by_name(entry.name):
                yield f"{entry.name} {told}"
            elif is_archive_name(entry.name) and folder.in_archive:
                yield f"{entry.name} is an archive in an archive: unpack the outer one, and import its folder"


def _in_several(folders: Sequence[Folder]) -> str:
    """Say in which folders and archives the files of a data set are spread; empty: some are in none."""
    where = {name: folder.name for folder in reversed(folders) for name in folder.files}
    data_set = _first_whole(where)
    if data_set is None:
        return ""
    parts = (data_set.movies, data_set.companion, data_set.users, data_set.ratings)
    found = [next(name for name in part if name in where) for part in parts if part]
    places = ", ".join(f"{name} is in {where[name]}" for name in found)
    return f"put the files of {data_set.name} into one folder: {places}"


def recognise(data_set: DataSet, files: Files, named: Encoding | None = None) -> Release:
    """Find the format of every file of a data set: its encoding, separator and columns.

    Args:
        data_set: the data set.
        files: the files of its folder.
        named: the encoding that the user named for files with words in them.

    Raises:
        Fault: a file has none of the formats that its name allows, or most of its first lines are invalid.
    """
    found = _Found(files, named)
    complete = data_set.complete
    if complete is None:
        movie_layouts: Sequence[Layout[Movie]] = data_set.movie_layouts
    else:
        companion = found.entry(data_set.companion, holds_text=True)
        encoding = found.surveys[companion.name].encoding
        with open_text(companion, encoding, newline="") as stream:
            movie_layouts = (complete(stream, encoding),)
    ratings = (layouts.RATINGS, layouts.RATINGS_OF_DATES)
    return Release(
        data_set.name,
        found.format(data_set.movies, movie_layouts, holds_text=True),
        found.format(data_set.ratings, ratings),
        found.format(data_set.users, (data_set.user_layout,)) if data_set.users else None,
        found.entries,
        found.surveys,
    )


class _Found:
    """Reads the files of a data set, and collects what is found out about them."""

    def __init__(self, files: Files, named: Encoding | None) -> None:
        self._files = files
        self._named = named
        self.entries: dict[str, Entry] = {}
        self.surveys: dict[str, Survey] = {}

    def entry(self, names: Iterable[str], *, holds_text: bool) -> Entry:
        """Find and survey the first of these files that exists."""
        entry = next(self._files[name] for name in names if name in self._files)
        self.entries[entry.name] = entry
        named = self._named if holds_text else None
        self.surveys[entry.name] = survey(entry, holds_text=holds_text, named=named)
        return entry

    def format(
        self, names: Iterable[str], of: Sequence[Layout[R]], *, holds_text: bool = False
    ) -> FileFormat[R]:
        """Recognise the format of the first of these files that exists."""
        entry = self.entry(names, holds_text=holds_text)
        encoding = self.surveys[entry.name].encoding
        sample = list(islice(lines(entry, encoding), _SAMPLE))
        found = recognise_format(entry.name, sample, of, encoding)
        _check_sample(found, list(found.joined(sample)))
        return found


def _check_sample(file: FileFormat[R], sample: Sequence[str]) -> None:
    """Refuse a file if most of its first lines are no records, or its ratings have another scale."""
    reasons: dict[Reason, list[int]] = {}
    for number, line in enumerate(sample[file.header_lines :], start=file.header_lines + 1):
        try:
            file.parse(line)
        except BadLineError as error:
            if line.strip():
                reasons.setdefault(error.reason, []).append(number)
    bad = sum(map(len, reasons.values()))
    lines_seen = sum(1 for line in sample[file.header_lines :] if line.strip())
    if lines_seen == 0:
        raise Fault(f"{file.name} holds nothing but a header: download the data set again")
    of_another_scale = reasons.get(Reason.SCALE, [])
    if len(of_another_scale) > SHARE_OF_ANOTHER_SCALE * lines_seen:
        reasons = {Reason.SCALE: of_another_scale}
    elif 2 * bad <= lines_seen:
        return
    reason, numbers = max(reasons.items(), key=lambda item: len(item[1]))
    bad = sum(map(len, reasons.values()))
    seen = "the only line" if lines_seen == 1 else f"{bad} of the first {lines_seen} lines"
    advice = ADVICE.get(reason, "look at the file, and export it again")
    raise Fault(
        f"{seen} of {file.name}, read as {file.encoding.name} with {file.separator} between fields, cannot be"
        f" loaded: {reason.value}, as in line {numbers[0]}. {advice[0].upper()}{advice[1:]}"
    )
