"""Places in a list, as text that clients hand back: where the next page goes on.

A cursor holds the last item's place in the order. So a page is right whatever was added or removed
since, and costs the same wherever it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dataflix_backend.validation import invalid

Place = TypeVar("Place")

_FINGERPRINT_BYTES = 6


def fingerprint(query: Mapping[str, Any]) -> str:
    """What tells the lists of different queries apart."""
    text = json.dumps(query, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()
    return _to_text(digest)


def encode(query: str, place: Any) -> str:
    """A place in the list of the query with this fingerprint."""
    return _to_text(TypeAdapter[Any](list).dump_json([query, place]))


def decode(cursor: str, query: str, shape: TypeAdapter[Place]) -> Place:
    """The place that a cursor holds.

    Raises:
        HTTPError: it is not one of ours, or of another query.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        holder, place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if holder == query:
            return shape.validate_python(place)
    except (ValueError, TypeError, ValidationError, RecursionError):
        raise invalid("query", {"cursor": ["Send the `next` of a reply, or no cursor"]}) from None
    raise invalid("query", {"cursor": ["It is of another query: send no cursor with a changed query"]})


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")
