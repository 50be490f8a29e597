"""MovieLens titles: ``Lion King, The (1994)`` is *The Lion King* of 1994."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What the database takes as a release year.
YEARS = range(1870, 2201)

#: ``(1995)``, ``(1975-1979)``, ``(2007-)``, IMDb's ``(1995/II)``, and media behind it such as ``(TV)``.
#: The last bracket may be missing, as in ``Skokie (1981``.
_YEAR_AT_END = re.compile(
    r"\s*\((?P<year>\d{4})(?:/[IVX]+)?(?:\s*[-\u2013]\s*(?:\d{4})?)?\s*"
    r"(?:\)(?:\s*\((?:V|TV|VG|Video|TV Movie|TV Series|mini|[IVX]+)\)){0,3})?\s*$"
)

#: Words that are nothing but articles where they stand behind a comma at the end of a title.
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
#: Articles that are also words or names in other languages: not turned round at the end of a list,
#: as in ``Me, Myself, I`` and ``Live, Love, Die``.
_AMBIGUOUS_ARTICLES = frozenset({"Die", "I", "O", "As", "De", "En", "Et"})
#: Which of them are also written small by people.
_SMALL_ARTICLES = {"the": "The", "a": "A", "an": "An"}

_MOVED_ARTICLE = re.compile(r"(?P<name>.*\S), ?(?P<article>[^\s,()]+)$", re.DOTALL)
#: Brackets in brackets in brackets are left alone.
_DEEPEST_BRACKETS = 2
_ALSO_KNOWN_AS = re.compile(r"a\.?k\.?a\.? ", re.IGNORECASE)


def split_title(text: str) -> tuple[str, int | None]:
    """Split a MovieLens title into title and year, and put a trailing article first.

    A span of years counts as its first. Text without a year, or with nothing but one, is all title.
    """
    title, year = text, None
    match = _YEAR_AT_END.search(text)
    if match and int(match["year"]) in YEARS and text[: match.start()].strip():
        title, year = text[: match.start()], int(match["year"])
    return article_first(" ".join(title.split())), year


def article_first(title: str) -> str:
    """Move the article of a title, and of other titles in brackets behind it, to the front."""
    return _article_first(title, _DEEPEST_BRACKETS)


def _article_first(title: str, deeper: int) -> str:
    parts = list(_parts(title))
    done, turned = "", False
    for place, (in_brackets, part) in enumerate(parts, start=1):
        if in_brackets:
            done += f"({_other_title(part[1:-1], deeper)})"
            continue
        # An article stands at the end, or before what is in brackets at the end.
        ends_here = place == len(parts) or part.endswith(" ")
        moved = _move(done, part) if ends_here and not turned else None
        turned = turned or moved is not None
        done = done + part if moved is None else moved
    return done


def _other_title(text: str, deeper: int) -> str:
    """Another title of the film, or what it is also known as, with its article in front."""
    if deeper == 0:
        return text
    match = _ALSO_KNOWN_AS.match(text)
    prefix = match[0] if match else ""
    return prefix + _article_first(text[len(prefix) :], deeper - 1)


def _move(before: str, part: str) -> str | None:
    """Everything so far with the article at its end moved to the front; None where there is none."""
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
    """The title in parts: outermost pairs of brackets (True), and the text around them (False)."""
    start = 0
    for opening, closing in _outermost_pairs(title):
        if opening > start:
            yield False, title[start:opening]
        yield True, title[opening : closing + 1]
        start = closing + 1
    if start < len(title):
        yield False, title[start:]


def _outermost_pairs(title: str) -> list[tuple[int, int]]:
    """Where pairs of brackets that are in no other pair open and close; unpaired ones are text."""
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
