"""One line of a MovieLens file as a record, or the reason why it is none."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_postgres.movielens.titles import split_title


class Reason(enum.Enum):
    """Why a line is rejected."""

    ENCODING = "not in the file's encoding"
    LENGTH = "line too long"
    QUOTES = "broken quotes"
    FIELDS = "wrong number of fields"
    NUMBER = "not a number"
    ID = "id out of range"
    TIME = "time out of range"
    RATING = "rating is not one of 0.5, 1.0 ... 5.0"
    AGE = "age out of range"
    TITLE = "title empty or with a NUL"
    MOVIE = "unknown movie"
    USER = "unknown user"
    DUPLICATE = "duplicate"


class BadLineError(ValueError):
    """A line that is no record."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Movie(NamedTuple):
    """A line of the films' file."""

    movie_id: int
    title: str
    release_year: int | None
    genres: tuple[str, ...]


class Rating(NamedTuple):
    """A line of the ratings' file; stars as PostgreSQL takes them, time in seconds since the epoch."""

    user_id: int
    movie_id: int
    stars: str
    rated_at: int


class User(NamedTuple):
    """A line of the users' file."""

    user_id: int
    birth_year: int | None


_HALVES = {f"{half / 2:.1f}" for half in range(1, 11)}
#: Every spelling of a valid rating: 4 and 4.0 both occur.
_STARS = {half: half for half in _HALVES} | {half[0]: half for half in _HALVES if half.endswith(".0")}

_MOST_DIGITS = 20  # reading thousands of digits takes long
_MAX_TIME = 10_413_791_999  # 2299-12-31T23:59:59Z, the last second that ClickHouse's DateTime64 holds
_MAX_AGE = 120

#: Releases spell two genres differently.
_GENRES = {"Children's": "Children", "unknown": "", "(no genres listed)": ""}


def whole_number(text: str) -> int:
    """Read digits; blanks around them do no harm, but signs and other scripts' digits are no number."""
    text = text.strip(" ")
    if not (text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS):
        raise BadLineError(Reason.NUMBER)
    return int(text)


def identity(text: str) -> int:
    """Read an id: any that the tables take."""
    digits = text.strip(" ").removeprefix("-")
    number = -whole_number(digits) if digits != text.strip(" ") else whole_number(digits)
    if not LEAST_ID <= number <= MOST_ID:
        raise BadLineError(Reason.ID)
    return number


def movie(movie_id: str, title: str, genres: Sequence[str]) -> Movie:
    """Make a film of its fields; genres are named as in the newest releases."""
    name, year = split_title(title)
    if not name or "\0" in name:
        raise BadLineError(Reason.TITLE)
    known = dict.fromkeys(_GENRES.get(genre, genre).strip() for genre in genres)
    return Movie(identity(movie_id), name, year, tuple(genre for genre in known if genre))


def rating(fields: Sequence[str]) -> Rating:
    """Make a rating of user, film, stars and time."""
    try:
        user_id, movie_id, stars, time = fields
    except ValueError:
        raise BadLineError(Reason.FIELDS) from None
    exact = _STARS.get(stars.strip(" "))
    if exact is None:
        raise BadLineError(_why_no_stars(stars))
    rated_at = whole_number(time)
    if rated_at > _MAX_TIME:
        raise BadLineError(Reason.TIME)
    return Rating(identity(user_id), identity(movie_id), exact, rated_at)


def birth_year(age: str, year_of_survey: int) -> int:
    """The year of birth of somebody of this age then, give or take one."""
    years = whole_number(age)
    if years > _MAX_AGE or year_of_survey - years < 1900:  # noqa: PLR2004 - the database's bound
        raise BadLineError(Reason.AGE)
    return year_of_survey - years


def _why_no_stars(text: str) -> Reason:
    try:
        float(text)
    except ValueError:
        return Reason.NUMBER
    return Reason.RATING
