"""Make records from the fields of a MovieLens file's lines, or say why a line is no valid record.

Titles are put into their usual form: ``Lion King, The (1994)`` becomes *The Lion King* of 1994.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_contract.terminal import without_controls

#: The release years that the database accepts.
_YEARS = range(1870, 2201)

#: ``(1995)``, ``(1975-1979)``, ``(2007-)``, IMDb's ``(1995/II)``, also with media after it, such as ``(TV)``.
#: The closing bracket may be missing, as in ``Skokie (1981``.
_YEAR_AT_END = re.compile(
    r"\s*\((?P<year>\d{4})(?:/[IVX]+)?(?:\s*[-\u2013]\s*(?:\d{4})?)?\s*"
    r"(?:\)(?:\s*\((?:V|TV|VG|Video|TV Movie|TV Series|mini|[IVX]+)\)){0,3})?\s*$"
)

#: Words that are always articles if they follow a comma at the end of a title.
_ARTICLES = frozenset(
    {
        *("The", "A", "An", "Da"),  # English
        *("Le", "La", "Les", "L'", "L\u2019", "Un", "Une"),  # French
        *("Il", "Lo", "Gli", "Gl'", "Uno", "Una"),  # Italian
        *("El", "Los", "Las", "Unos", "Unas", "Els", "Um", "Uma", "Os"),  # Spanish, Catalan, Portuguese
        *("Der", "Das", "Ein", "Eine", "Het", "Een", "'t"),  # German, Dutch
        *("Den", "Det", "Ett", "Az", "Egy"),  # Scandinavian, Hungarian
    }
)
#: Articles that are also words or names in other languages: they are not moved if the title has other commas,
#: as in ``Me, Myself, I`` and ``Live, Love, Die``.
_AMBIGUOUS_ARTICLES = frozenset({"Die", "I", "O", "As", "De", "En", "Et"})
#: Articles that some titles have in lower case.
_SMALL_ARTICLES = {"the": "The", "a": "A", "an": "An"}

_MOVED_ARTICLE = re.compile(r"(?P<name>.*\S), ?(?P<article>[^\s,()]+)$", re.DOTALL)
#: Titles in more deeply nested brackets are left as they are.
_DEEPEST_BRACKETS = 2
_ALSO_KNOWN_AS = re.compile(r"a\.?k\.?a\.? ", re.IGNORECASE)


class Reason(enum.Enum):
    """Why a line is rejected."""

    ENCODING = "not in the file's encoding"
    LENGTH = "line too long"
    QUOTES = "broken quotes"
    FIELDS = "wrong number of fields"
    NUMBER = "not a number"
    ID = "id out of range"
    TIME = "time that cannot be read or is out of range"
    RATING = "rating is not one of 0.5, 1.0 ... 5.0"
    SCALE = "rating of 0, or above 5 stars"
    AGE = "age out of range"
    TITLE = "title empty or with a NUL"
    GENRES = "genres that cannot be read"
    METADATA = "no film with this id in the metadata"
    MOVIE = "unknown movie"
    USER = "unknown user"
    DUPLICATE = "duplicate"


#: What the user should do if many lines of a file are rejected for this reason.
ADVICE = {
    Reason.ENCODING: "convert the file to UTF-8, or name its encoding by --encoding",
    Reason.FIELDS: "look at what stands between the fields, and export the file again",
    Reason.TIME: "write times as seconds since 1970, or like 2005-04-02 23:53:47",
    Reason.RATING: "round ratings to half stars from 0.5 to 5",
    Reason.SCALE: "the ratings have another scale: convert them to stars, the worst to 0.5 and the best to 5",
    Reason.MOVIE: "take films and ratings from the same data set",
    Reason.USER: "take users and ratings from the same data set",
}


class BadLineError(ValueError):
    """A line is no valid record."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Movie(NamedTuple):
    """A film."""

    movie_id: int
    title: str
    release_year: int | None
    genres: tuple[str, ...]
    overview: str | None = None


class Rating(NamedTuple):
    """A line of the ratings' file; stars as text such as ``4.5``, time in seconds since the epoch."""

    user_id: int
    movie_id: int
    stars: str
    rated_at: int


class User(NamedTuple):
    """A line of the users' file."""

    user_id: int
    birth_year: int | None


MOST_STARS = 5
_HALVES = {f"{half / 2:.1f}": f"{half / 2:.1f}" for half in range(1, 11)}
#: Every other spelling of a valid rating: 4, 4.00, 4,0, .5 and +4 all occur.
_STARS = re.compile(r"\+?(?P<whole>[0-9]?)(?:[.,](?P<tenth>[05]?)0*)?", re.ASCII)

_MOST_DIGITS = 20  # converting thousands of digits takes long
_MAX_TIME = 10_413_791_999  # 2299-12-31T23:59:59Z, the last second that ClickHouse's DateTime64 holds
#: Numbers that are at least so large are taken for nano-, micro- or milliseconds. The smallest number of
#: milliseconds is a time in 1973, and MovieLens began in 1995.
_FRACTIONS_OF_SECONDS = (
    (100_000_000_000_000_000, 10**9),
    (100_000_000_000_000, 10**6),
    (100_000_000_000, 10**3),
)
_LONGEST_MOMENT = 40
#: Dates without separators, such as 20050402 and 200504022353. Read as seconds or milliseconds, these numbers
#: would be times in 1970 and 1976, which no rating has.
_DENSE_DATES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
#: Finds the characters by which a date differs from a number, which may begin with a minus.
_OF_DATES = re.compile(r"[/:]|.-")
#: A time zone by name; fromisoformat reads only +00:00 or Z.
_NAMED_UTC = re.compile(r" ?(?:UTC|GMT)$")
_MAX_AGE = 120

#: The genres that older releases and TMDB call differently; an empty name is no genre.
_GENRES = {
    "Children's": "Children",
    "Family": "Children",
    "Science Fiction": "Sci-Fi",
    "unknown": "",
    "(no genres listed)": "",
}
#: A whole number as pandas writes it if its column has gaps.
_WHOLE_FLOAT = re.compile(r"(?P<whole>[0-9]{1,20})\.0{1,6}", re.ASCII)


def whole_number(text: str) -> int:
    """Read digits, or digits with ``.0``; signs and digits of other scripts are refused."""
    text = text.strip(" ")
    if text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS:
        return int(text)
    match = _WHOLE_FLOAT.fullmatch(text)
    if match is None:
        raise BadLineError(Reason.NUMBER)
    return int(match["whole"])


def identity(text: str) -> int:
    """Read an id in the range of a PostgreSQL bigint."""
    digits = text.strip(" ").removeprefix("-")
    number = -whole_number(digits) if digits != text.strip(" ") else whole_number(digits)
    if not LEAST_ID <= number <= MOST_ID:
        raise BadLineError(Reason.ID)
    return number


def movie_from_full_title(movie_id: str, title: str, genres: Sequence[str]) -> Movie:
    """Make a film from its fields; genres get the names of the newest releases."""
    name, year = split_title(title)
    return make_movie(movie_id, name, year, genres)


def make_movie(
    movie_id: str, title: str, year: int | None, genres: Sequence[str], overview: str | None = None
) -> Movie:
    """Make a film from a title that has neither its year nor an article at the end."""
    name = without_controls(" ".join(title.split()))
    if not name or "\0" in title:
        raise BadLineError(Reason.TITLE)
    if any("\0" in genre for genre in genres):
        raise BadLineError(Reason.GENRES)
    known = dict.fromkeys(_GENRES.get(genre, without_controls(genre)).strip() for genre in genres)
    return Movie(identity(movie_id), name, year, tuple(genre for genre in known if genre), overview)


def year_of(text: str) -> int | None:
    """Read a year; None if the text is no year that the database accepts."""
    year = int(text) if re.fullmatch(r"[0-9]{4}", text) else None
    return year if year in _YEARS else None


def rating(fields: Sequence[str]) -> Rating:
    """Make a rating from the fields user, film, stars and time."""
    try:
        user_id, movie_id, stars, time = fields
    except ValueError:
        raise BadLineError(Reason.FIELDS) from None
    return Rating(identity(user_id), identity(movie_id), stars_of(stars), moment(time))


def stars_of(text: str) -> str:
    """Read stars in any spelling, and return them in the form ``4.5``."""
    exact = _HALVES.get(text) or _other_spelling(text.strip(" "))
    if exact is None:
        raise BadLineError(_why_no_stars(text))
    return exact


def _other_spelling(text: str) -> str | None:
    match = _STARS.fullmatch(text)
    return _HALVES.get(f"{match['whole'] or 0}.{match['tenth'] or 0}") if match else None


def moment(text: str) -> int:
    """Read a time as seconds since the epoch.

    The text is a number of seconds, milli-, micro- or nanoseconds, or a date like ``2005-04-02 23:53:47``,
    ``20050402`` or ``20050402235347``, which is in UTC unless it names another zone.
    """
    if _OF_DATES.search(text):
        seconds = _date(text)
    else:
        seconds = _dense_date(whole_number(text))
        if seconds > _MAX_TIME:
            seconds //= next((parts for least, parts in _FRACTIONS_OF_SECONDS if seconds >= least), 1)
    if not 0 <= seconds <= _MAX_TIME:
        raise BadLineError(Reason.TIME)
    return seconds


def _date(text: str) -> int:
    text = text.strip(" ")
    if not text[:1].isdigit() or len(text) > _LONGEST_MOMENT:
        raise BadLineError(Reason.NUMBER)
    try:
        found = datetime.fromisoformat(_NAMED_UTC.sub("+00:00", text))
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise BadLineError(Reason.TIME) from None


def _dense_date(number: int) -> int:
    """Turn a number that is a date of 1900 to 2199 into seconds since the epoch; keep any other number."""
    digits = str(number)
    form = _DENSE_DATES.get(len(digits)) if digits.startswith(("19", "20", "21")) else None
    if form is None:
        return number
    try:
        return int(datetime.strptime(digits, form).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return number


def birth_year(age: str, year_of_survey: int) -> int:
    """The year of birth of a person who had this age in the survey's year; it may be one year off."""
    years = whole_number(age)
    if years > _MAX_AGE or year_of_survey - years < 1900:  # noqa: PLR2004 - the database's bound
        raise BadLineError(Reason.AGE)
    return year_of_survey - years


def _why_no_stars(text: str) -> Reason:
    try:
        value = float(text)
    except ValueError:
        return Reason.NUMBER
    return Reason.SCALE if value == 0 or value > MOST_STARS else Reason.RATING


def split_title(text: str) -> tuple[str, int | None]:
    """Split a MovieLens title into title and year, and put a trailing article first.

    Of a span of years the first is taken. A text without a year, or with only a year, is all title.
    """
    title, year = text, None
    match = _YEAR_AT_END.search(text)
    if match and int(match["year"]) in _YEARS and text[: match.start()].strip():
        title, year = text[: match.start()], int(match["year"])
    return _article_first(" ".join(title.split()), _DEEPEST_BRACKETS), year


def _article_first(title: str, deeper: int) -> str:
    """Move the article of a title to its front, and those of further titles in brackets to theirs."""
    parts = list(_parts(title))
    done, turned = "", False
    for place, (in_brackets, part) in enumerate(parts, start=1):
        if in_brackets:
            done += f"({_other_title(part[1:-1], deeper)})"
            continue
        # An article can be at the end, or before brackets at the end.
        ends_here = place == len(parts) or part.endswith(" ")
        moved = _move(done, part) if ends_here and not turned else None
        turned = turned or moved is not None
        done = done + part if moved is None else moved
    return done


def _other_title(text: str, deeper: int) -> str:
    """A further title of the film, perhaps after "a.k.a.", with its article in front."""
    if deeper == 0:
        return text
    match = _ALSO_KNOWN_AS.match(text)
    prefix = match[0] if match else ""
    return prefix + _article_first(text[len(prefix) :], deeper - 1)


def _move(before: str, part: str) -> str | None:
    """The text so far with the article at its end moved to the front; None: there is no article."""
    words = (before + part).rstrip(" ")
    match = _MOVED_ARTICLE.match(words)
    if match is None or match.start("article") < len(before):
        return None
    name, article = match["name"], _SMALL_ARTICLES.get(match["article"], match["article"])
    if article not in _ARTICLES and (article not in _AMBIGUOUS_ARTICLES or "," in name):
        return None
    space = "" if article[-1] in "'\u2019" else " "
    return f"{article}{space}{name}{(before + part)[len(words) :]}"


def _parts(title: str) -> Iterator[tuple[bool, str]]:
    """Split a title into outermost pairs of brackets (True) and the text around them (False)."""
    start = 0
    for opening, closing in _outermost_pairs(title):
        if opening > start:
            yield False, title[start:opening]
        yield True, title[opening : closing + 1]
        start = closing + 1
    if start < len(title):
        yield False, title[start:]


def _outermost_pairs(title: str) -> list[tuple[int, int]]:
    """The places of opening and closing brackets of outermost pairs; unpaired brackets are text."""
    opened: list[int] = []
    pairs: list[tuple[int, int]] = []
    for at, letter in enumerate(title):
        if letter == "(":
            opened.append(at)
        elif letter == ")" and opened:
            opening = opened.pop()
            while pairs and pairs[-1][0] > opening:
                pairs.pop()
            pairs.append((opening, at))
    return pairs
