"""How requests become models: JSON strictly, queries from text, every fault named.

APIFlask asks an adapter to validate with pydantic. This one differs from its own: JSON is read by
pydantic itself, so that text is no number and no nesting is too deep; and a query may name each
parameter once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiflask.exceptions import HTTPError
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import RequestEntityTooLarge

#: Text without control characters, and that with something to read in it.
TEXT = r"^[^\x00-\x1f\x7f]*$"
VISIBLE_TEXT = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
#: Looks like an address. Only a message that arrives proves more.
EMAIL = r"^[^\x00-\x20\x7f@]+@[^\x00-\x20\x7f@.]+(\.[^\x00-\x20\x7f@.]+)+$"
CURSOR = r"^[A-Za-z0-9_-]+$"
#: What to send where one of these does not match.
_MEANINGS = {
    TEXT: "Send text without control characters",
    VISIBLE_TEXT: "Send text with something to read in it, without control characters",
    EMAIL: "Send an e-mail address, such as ada@example.org",
    CURSOR: "Send the `next` of a reply, or no cursor",
}
_UNPROCESSABLE = 422
_UNSUPPORTED = 415


class StrictAdapter(PydanticAdapter):
    """Validates JSON bodies and queries; anything else is the original's business."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        """The request's part as a model.

        Raises:
            HTTPError: 415 when the body is not called JSON, 422 when it is not what it should be.
        """
        if location == "json":
            return self._body(request)
        if location == "query":
            return self._query(request)
        return super().validate_input(request, location, **kwargs)

    def _body(self, request: Request) -> BaseModel:
        if not request.is_json:
            raise HTTPError(_UNSUPPORTED, "send the body as JSON, with Content-Type: application/json")
        content = request.get_data()
        if request.content_length is None and len(content) == request.max_content_length:
            raise RequestEntityTooLarge  # sent in chunks: what is above the limit was not read
        try:
            return self.model_class.model_validate_json(content)
        except ValidationError as fault:
            raise _refusal("json", fault) from None  # its text quotes what was sent

    def _query(self, request: Request) -> BaseModel:
        several = [name for name, values in request.args.lists() if len(values) > 1]
        if several:
            raise invalid("query", {name: ["Send it once"] for name in several})
        try:
            return self.model_class.model_validate_strings(request.args.to_dict())
        except ValidationError as fault:
            raise _refusal("query", fault) from None


def invalid(location: str, errors: dict[str, list[str]]) -> HTTPError:
    """The refusal of a request: 422, with what is wrong by the name of the field."""
    names = ", ".join(errors)[:200]
    return HTTPError(_UNPROCESSABLE, f"change these and send it again: {names}", {location: errors})


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


registry.register("pydantic", StrictAdapter)
