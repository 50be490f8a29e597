"""The layouts of all kinds of MovieLens files: their columns, and how records are made from them."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

from dataflix_contract.faults import Fault
from dataflix_contract.terminal import without_controls
from dataflix_postgres.movielens.encodings import Encoding
from dataflix_postgres.movielens.formats import Layout, plain_name
from dataflix_postgres.movielens.records import (
    BadLineError,
    Movie,
    Rating,
    Reason,
    User,
    birth_year,
    identity,
    make_movie,
    moment,
    movie_from_full_title,
    rating,
    split_title,
    stars_of,
    whole_number,
    year_of,
)

_BETWEEN_GENRES = re.compile(r"[|,;]")
#: NumPy separates texts only by blanks: Python would read ``['Drama' 'Comedy']`` as a list of one text.
_BETWEEN_NUMPY_S = re.compile(r"""(['"])\s+(?=['"])""")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)", re.ASCII)
_LONGEST_GENRES = 8_192
_LONGEST_OVERVIEW = 8_192


def _movie(fields: Sequence[str]) -> Movie:
    try:
        movie_id, title, genres = fields
    except ValueError:
        raise BadLineError(Reason.FIELDS) from None
    return movie_from_full_title(movie_id, title, _genres(genres))


def _movie_with_year(fields: Sequence[str]) -> Movie:
    """Make a film; its year is the one at the title's end, or else that of the column of a year or date."""
    movie_id, title, genres, released = fields
    found = movie_from_full_title(movie_id, title, _genres(genres))
    year = _YEAR.search(released)
    return found if found.release_year or year is None else found._replace(release_year=year_of(year[0]))


#: The genres of the 100k release (its file u.genre), in the order of the flags in u.item.
_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi"),
    *("Thriller", "War", "Western"),
)
_BEFORE_FLAGS = ("movie id", "title", "release date", "video release date", "IMDb URL")


def _movie_100k(fields: Sequence[str]) -> Movie:
    if len(fields) != len(_BEFORE_FLAGS) + len(_GENRES_100K):
        raise BadLineError(Reason.FIELDS)
    movie_id, title, released = fields[:3]
    flags = fields[len(_BEFORE_FLAGS) :]
    if not set(flags) <= {"0", "1"}:
        raise BadLineError(Reason.NUMBER)
    found = movie_from_full_title(
        movie_id, title, [g for g, flag in zip(_GENRES_100K, flags, strict=True) if flag == "1"]
    )
    if found.release_year is None:
        return found._replace(release_year=year_of(released[-4:]))
    return found


#: The 1m release gives age groups by their lower bounds; an age in the middle of each group.
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


def _rating_of_date(fields: Sequence[str]) -> Rating:
    """Make a rating of HetRec's file with day, month, year, hour, minute and second, taken as UTC."""
    try:
        user_id, movie_id, stars, *parts = fields
        day, month, year, hour, minute, second = map(whole_number, parts)
    except BadLineError:
        raise
    except ValueError:
        raise BadLineError(Reason.FIELDS) from None
    try:
        rated_at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadLineError(Reason.TIME) from None
    return Rating(identity(user_id), identity(movie_id), stars_of(stars), moment(rated_at.isoformat()))


MOVIES: Layout[Movie] = Layout(("movieId", "title", "genres"), _movie, fields=3)
MOVIES_WITH_YEAR: Layout[Movie] = Layout(("movieId", "title", "genres", "year"), _movie_with_year)
MOVIES_100K: Layout[Movie] = Layout(
    (*_BEFORE_FLAGS, *_GENRES_100K), _movie_100k, len(_BEFORE_FLAGS) + len(_GENRES_100K), ("|",)
)
USERS_1M: Layout[User] = Layout(("UserID", "Gender", "Age", "Occupation", "Zip-code"), _user_1m, 5)
USERS_100K: Layout[User] = Layout(("user id", "age", "gender", "occupation", "zip code"), _user_100k, 5)
RATINGS: Layout[Rating] = Layout(("userId", "movieId", "rating", "timestamp"), rating, 4)
RATINGS_OF_DATES: Layout[Rating] = Layout(
    (
        *("userID", "movieID", "rating", "date_day", "date_month", "date_year"),
        *("date_hour", "date_minute", "date_second"),
    ),
    _rating_of_date,
)


def hetrec_movies(genres_file: TextIO, encoding: Encoding) -> Layout[Movie]:
    """The layout of HetRec's films, which have a column for the year, and genres in a separate file."""
    genres: dict[str, list[str]] = {}
    rows = csv.reader(genres_file, delimiter="\t", quoting=csv.QUOTE_NONE)
    if [plain_name(each) for each in next(rows, [])] != ["movieid", "genre"]:
        raise Fault("movie_genres.dat does not begin with movieID, a tab and genre: this is no HetRec 2011")
    for row in rows:
        if len(row) == 2 and encoding.fits(row[1]):  # noqa: PLR2004 - the columns
            genres.setdefault(row[0].strip(), []).append(encoding.repair(row[1]))

    def make(fields: Sequence[str]) -> Movie:
        movie_id, title, year = fields
        name, year_in_title = split_title(title)
        return make_movie(movie_id, name, year_in_title or year_of(year), genres.get(movie_id.strip(), []))

    return Layout(("id", "title", "year"), make, separators=("\t",))


class _Metadata(NamedTuple):
    title: str
    year: int | None
    genres: Sequence[str] | None
    overview: str | None


def tmdb_movies(metadata_file: TextIO, encoding: Encoding) -> Layout[Movie]:
    """The layout of the films of the-movies-dataset: lines of links.csv, completed from TMDB's metadata.

    The metadata are kept in memory; 45,000 films take 40 MB.
    """
    films = _metadata(metadata_file, encoding)

    def make(fields: Sequence[str]) -> Movie:
        movie_id, tmdb_id = fields
        found = films.get(whole_number(tmdb_id)) if tmdb_id.strip() else None
        if found is None:
            raise BadLineError(Reason.METADATA)
        if found.genres is None:
            raise BadLineError(Reason.GENRES)
        return make_movie(movie_id, found.title, found.year, found.genres, found.overview)

    return Layout(("movieId", "tmdbId"), make)


def _metadata(file: TextIO, encoding: Encoding) -> Mapping[int, _Metadata]:
    """Read TMDB's metadata by id. Lines without an id, or with one that came before, are left out."""
    films: dict[int, _Metadata] = {}
    rows = csv.DictReader(file)
    try:
        wanted = {"id", "title", "genres", "overview", "release_date"}
        if not wanted <= set(rows.fieldnames or ()):
            raise Fault(
                f"movies_metadata.csv must have columns {', '.join(sorted(wanted))} in its first line"
            )
        for row in rows:
            texts = [row[each] or "" for each in ("id", "title", "genres", "overview", "release_date")]
            if not all(map(encoding.fits, texts)):
                continue
            tmdb_id, title, genres, overview, released = map(encoding.repair, texts)
            if tmdb_id.isdecimal() and tmdb_id.isascii() and title.strip():
                kept = without_controls(" ".join(overview.split()))[:_LONGEST_OVERVIEW]
                films.setdefault(
                    int(tmdb_id),
                    _Metadata(title, year_of(released[:4]), _listed_genres(genres), kept or None),
                )
    except csv.Error as error:
        raise Fault(f"movies_metadata.csv is no CSV near line {rows.line_num}: {error}") from error
    return films


def _genres(text: str) -> Sequence[str]:
    """Read genres between separators, or in a list as of Python, JSON, NumPy or PostgreSQL."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        return [each.strip(" \"'") for each in _BETWEEN_GENRES.split(text[1:-1])]
    if not text.startswith("["):
        return _BETWEEN_GENRES.split(text)
    genres = _listed_genres(_BETWEEN_NUMPY_S.sub(r"\1, ", text))
    if genres is None:
        raise BadLineError(Reason.GENRES)
    return genres


def _listed_genres(text: str) -> Sequence[str] | None:
    """Read a list like ``['Drama']`` or ``[{'id': 16, 'name': 'Animation'}]``; None: it is no such list."""
    if not text.strip():
        return ()
    try:
        found = ast.literal_eval(text.strip()) if len(text) <= _LONGEST_GENRES else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(found, list):
        return None
    names = [each.get("name") if isinstance(each, dict) else each for each in found]
    texts = [name for name in names if isinstance(name, str)]
    return texts if len(texts) == len(names) else None
