"""Text as it is compared: parts of it, and names of genres."""

from __future__ import annotations

import re


def part(text: str | None) -> str | None:
    r"""The ILIKE pattern of texts with this text in them; None for no text at all.

    >>> part("50%")
    '%50\\%%'
    """
    return None if not text else "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def genre_key(name: str) -> str:
    """A genre's name as names are compared: without case, and without spaces around it.

    :data:`GENRES_ARE_EQUAL` says the same to PostgreSQL.
    """
    return name.strip(" ").lower()


#: Whether the genre ``g`` is the one that is asked for as the parameter ``genre``; see :func:`genre_key`.
GENRES_ARE_EQUAL = "lower(btrim(g)) = lower(btrim(%(genre)s))"
