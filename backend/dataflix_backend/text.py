"""Text for PostgreSQL's patterns."""

from __future__ import annotations

import re


def part(text: str | None) -> str | None:
    r"""The ILIKE pattern of texts with this text in them; None for no text at all.

    >>> part("50%")
    '%50\\%%'
    """
    return None if not text else "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
