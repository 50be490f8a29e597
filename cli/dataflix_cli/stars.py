"""Read stars in the forms in which people write them, and draw them."""

from __future__ import annotations

import re
from decimal import Decimal

LEAST, MOST = 0.5, 5.0
_NUMBER = re.compile(r"(?P<whole>[0-9]?)(?:[.,](?P<tenth>[05])0*)?")
_WHOLE = ("0", "1", "2", "3", "4")
_DRAWN = re.compile(r"(?P<full>[*★]*)(?P<half>½?)☆*")


class StarsError(ValueError):
    """The text is no number of stars from 0.5 to 5."""


def parse_stars(text: str) -> float:
    """Read ``4.5``, ``4,5``, ``4½``, ``.5``, ``****½`` or ``★★★★½``.

    Returns:
        0.5 to 5, in halves.

    Raises:
        StarsError: the text has no such form.
    """
    stars = _read(text.strip().removesuffix("stars").removesuffix("star").strip())
    if stars is None or not LEAST <= stars <= MOST:
        raise StarsError(f"{text!r} is no rating: give 0.5 to 5 stars in halves, such as 4.5")
    return stars


def _read(text: str) -> float | None:
    halves = 0.5 if text.endswith("½") and text[:-1] in _WHOLE else 0.0
    number = _NUMBER.fullmatch(text[:-1] if halves else text)
    if text and number:
        return float(Decimal(f"{number['whole'] or 0}.{number['tenth'] or 0}")) + halves
    drawn = _DRAWN.fullmatch(text)
    if text and drawn:
        return len(drawn["full"]) + (0.5 if drawn["half"] else 0.0)
    return None


def draw(stars: float | None) -> str:
    """The stars as five characters, rounded to halves, such as ``★★★★½``; empty for None."""
    if stars is None:
        return ""
    halves = round(stars * 2)
    signs = "★" * (halves // 2) + "½" * (halves % 2)
    return signs.ljust(5, "☆")


def number(stars: float | None) -> str:
    """The stars as a number with one decimal; empty for None."""
    return "" if stars is None else f"{stars:.1f}"
