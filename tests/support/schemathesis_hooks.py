"""What Schemathesis cannot know from the OpenAPI document about two values that look right."""

import itertools
import re
from typing import Any
from uuid import uuid4

import schemathesis

from dataflix_backend.idempotency import KEY_HEADER, KEY_PATTERN
from dataflix_backend.validation import CURSOR

_KEYS = (f"{uuid4().hex}-{number}" for number in itertools.count())


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Leave out cursors that no reply held, and use no key for two requests; both are refused rightly.

    What does not even look like a cursor or a key stays: that it is refused is to be tested.
    """
    query, headers = case.query or {}, case.headers or {}
    if _matches(CURSOR, query.get("cursor")):
        case.query = {name: value for name, value in query.items() if name != "cursor"}
    if _matches(KEY_PATTERN, headers.get(KEY_HEADER)):
        headers[KEY_HEADER] = next(_KEYS)


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
