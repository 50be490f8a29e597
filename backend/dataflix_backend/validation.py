"""How requests become models: JSON strictly, queries from text, every fault named; and the cursors of lists.

APIFlask asks an adapter to validate with pydantic. This one differs from its own: JSON is read by
pydantic itself, so that text is no number and no nesting is too deep; a body may name each field once,
and a query each parameter.

A cursor says where the next page of a list goes on, as text that clients hand back. It holds the last item's
place in the order. So a page is right whatever was added or removed since, and costs the same wherever it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from apiflask.exceptions import HTTPError
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import RequestEntityTooLarge

from dataflix_contract.terminal import CONTROLS

# Ranges, and no classes such as \p{Cf}: clients check these patterns too, with dialects of regular
# expressions and versions of Unicode of their own. No escape of a character above U+FFFF is known to all.
#: Control characters, white space, and marks without width.
_BLANK = (
    r"\x00-\x20\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    r"\ufff9-\ufffb"
    "\U000e0000-\U000e0fff"
)
#: Accents, variation selectors, blank letters (Hangul fillers, an empty Braille cell), and private use.
_NOTHING_ALONE = (
    r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    r"\u115f\u1160\u2800\u3164\uffa0\ue000-\uf8ff"
)
#: Text without control characters; and the same with at least one visible character.
TEXT = rf"^[^{CONTROLS}]*$"
VISIBLE_TEXT = rf"^[^{CONTROLS}]*[^{_BLANK}{_NOTHING_ALONE}][^{CONTROLS}]*$"
#: Looks like an address, all of which can be seen. Only a message that arrives proves more.
EMAIL = rf"^[^{_BLANK}@]+@[^{_BLANK}@.]+(\.[^{_BLANK}@.]+)+$"
CURSOR = r"^[A-Za-z0-9_-]+$"
#: A list of up to 100 ids.
IDS = r"^(-?[0-9]{1,19}(,-?[0-9]{1,19}){0,99})?$"
_WITHOUT_CONTROLS = "without control characters and marks that change its direction (U+202A to U+2069)"
#: What to send where one of these does not match.
_MEANINGS = {
    TEXT: f"Send text {_WITHOUT_CONTROLS}",
    VISIBLE_TEXT: f"Send text with something to read in it, {_WITHOUT_CONTROLS}",
    EMAIL: "Send an e-mail address, such as ada@example.org",
    CURSOR: "Send the `next` of a reply, or no cursor",
    IDS: "Send ids with commas between them, 100 at most",
}
_UNPROCESSABLE = 422
_UNSUPPORTED = 415
_FINGERPRINT_BYTES = 6

Place = TypeVar("Place")


class StrictAdapter(PydanticAdapter):
    """Validates JSON bodies and queries; anything else is the original's business."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        """The request's part as a model.

        Raises:
            HTTPError: 415 when the body is not plain JSON, 422 when it or the query is not what it should be.
        """
        if location == "json":
            return self._body(request)
        if location == "query":
            return self._query(request)
        return super().validate_input(request, location, **kwargs)

    def _body(self, request: Request) -> BaseModel:
        if not request.is_json:
            raise HTTPError(_UNSUPPORTED, "send the body as JSON, with Content-Type: application/json")
        if request.content_encoding:
            raise HTTPError(_UNSUPPORTED, "send the body as it is, without Content-Encoding")
        content = request.get_data()
        if request.content_length is None and len(content) == request.max_content_length:
            raise RequestEntityTooLarge  # sent in chunks: what is above the limit was not read
        try:
            model = self.model_class.model_validate_json(content)
        except ValidationError as fault:
            raise _refusal("json", fault) from None  # its text quotes what was sent
        _require_each_once("json", _names(content))
        return model

    def _query(self, request: Request) -> BaseModel:
        _require_each_once("query", (name for name, _ in request.args.items(multi=True)))
        try:
            return self.model_class.model_validate_strings(request.args.to_dict())
        except ValidationError as fault:
            raise _refusal("query", fault) from None


def invalid(location: str, errors: dict[str, list[str]]) -> HTTPError:
    """The refusal of a request: 422, with what is wrong by the name of the field."""
    names = ", ".join(errors)[:200]
    return HTTPError(_UNPROCESSABLE, f"change these and send it again: {names}", {location: errors})


def _names(content: bytes) -> Iterable[str]:
    """The names of a valid body's fields, as often as each is there: pydantic keeps the last one silently."""
    pairs: list[tuple[str, object]] = json.loads(content, object_pairs_hook=list, parse_int=str)
    return (name for name, _ in pairs)


def _require_each_once(location: str, names: Iterable[str]) -> None:
    several = [name for name, times in Counter(names).items() if times > 1]
    if several:
        raise invalid(location, {name: ["Send it once"] for name in several})


def _refusal(location: str, fault: ValidationError) -> HTTPError:
    errors = fault.errors(include_url=False, include_input=False)
    return invalid(location, _by_field(errors))


def _by_field(errors: Iterable[ErrorDetails]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for error in errors:
        field = ".".join(str(part) for part in error["loc"]) or "body"
        pattern = error.get("ctx", {}).get("pattern", "")
        found.setdefault(field, []).append(_MEANINGS.get(pattern, error["msg"]))
    return found


def fingerprint(query: Mapping[str, Any]) -> str:
    """A digest of a query, kept in its cursors, so that a cursor of another query is refused."""
    text = json.dumps(query, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()
    return _to_text(digest)


def encode_cursor(query: str, place: Any) -> str:
    """A place in the list of the query with this fingerprint."""
    return _to_text(TypeAdapter[Any](list).dump_json([query, place]))


def decode_cursor(cursor: str, query: str, shape: TypeAdapter[Place]) -> Place:
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


registry.register("pydantic", StrictAdapter)
