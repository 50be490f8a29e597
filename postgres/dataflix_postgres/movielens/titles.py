"""MovieLens titles: ``Lion King, The (1994)`` is *The Lion King* of 1994."""

from __future__ import annotations

import re

#: What the database takes as a release year.
_YEARS = range(1870, 2201)

_YEAR_AT_END = re.compile(r"\s*\((?P<year>\d{4})(?:\s*[-\u2013]\s*(?:\d{4})?)?\)\s*$")
_ARTICLES = "The|A|An|La|Le|Les|L'|El|Los|Las|Il|Lo|Der|Die|Das|Den|Det|Un|Une|Una"
_ARTICLE_AT_END = re.compile(
    rf"(?P<before>^|\()(?P<aka>a\.k\.a\. )?(?P<name>[^()]+?), (?P<article>{_ARTICLES})(?=$|\)| \()"
)


def split_title(text: str) -> tuple[str, int | None]:
    """Split a MovieLens title into title and year, and put a trailing article first.

    A span of years counts as its first. Text without a year, or with nothing but one, is all title.
    """
    title, year = text, None
    match = _YEAR_AT_END.search(text)
    if match and int(match["year"]) in _YEARS and text[: match.start()].strip():
        title, year = text[: match.start()], int(match["year"])
    return article_first(" ".join(title.split())), year


def article_first(title: str) -> str:
    """Move the article of a title, and of other titles in brackets behind it, to the front."""
    return _ARTICLE_AT_END.sub(_swap, title)


def _swap(match: re.Match[str]) -> str:
    space = "" if match["article"].endswith("'") else " "
    return f"{match['before']}{match['aka'] or ''}{match['article']}{space}{match['name']}"
