"""The OpenAPI document, and the page ``/docs`` that shows it.

Whatever holds for every operation is added to the document here, once. The page is Swagger UI from a Python
package: the browser loads nothing from other servers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask_swagger_ui  # type: ignore[import-untyped]
from apiflask import APIBlueprint, APIFlask
from flask import Response, render_template_string, send_from_directory, url_for
from pydantic import BaseModel
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from dataflix_backend.idempotency import KEY_HEADER, KEY_PATTERN, REPLAYED_HEADER
from dataflix_backend.request_handling import public
from dataflix_backend.schemas import Problem
from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_contract.web_server import PROBLEM

Document = dict[str, Any]

_DESCRIPTION = """Films, who watched them, and what they thought of them.

Every error is a problem document (RFC 9457) whose `detail` says what to do next. Lists come in pages: hand
`next` back as `cursor`. A POST with an `Idempotency-Key` is done once, however often it is sent within a day.
"""
_SCHEME = "token"
_EVERYWHERE = {
    429: "Too many requests: wait as long as Retry-After says.",
    500: "An internal error.",
    503: "PostgreSQL is away: try again after Retry-After.",
}
_WITH_BODY = {
    413: "The body is too large.",
    415: "The Content-Type is not application/json.",
    422: "A field is wrong.",
}
_WITH_QUERY = {400: "The query is not UTF-8.", 422: "A parameter is wrong."}
_WITH_KEY = {410: "The key's request was done before, and what came of it has been deleted since."}
_WITHOUT_TOKEN = {401: "The token is missing or wrong."}
_WITH_RETRY_AFTER = ("429", "503")
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
_PROBLEM = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
#: Longer numbers are refused unread, since converting thousands of digits takes long.
_MOST_DIGITS = 20
_IDS = {"user_id": "The user's id.", "movie_id": "The film's id."}
_ID_SCHEMA = {"type": "integer", "minimum": LEAST_ID, "maximum": MOST_ID, "examples": [1]}
_KEY_PARAMETER = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Of the client's choice, new for each new request: sent again with the same key, a request"
    " is not done again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": KEY_PATTERN},
}


class IdConverter(BaseConverter):
    """``<id:...>`` in a route: any id that a PostgreSQL bigint can hold."""

    regex = "-?[0-9]+"

    def to_python(self, value: str) -> int:
        """Convert the text to an id.

        Raises:
            NotFound: the number is out of range. (After a ValidationError, Flask would try other routes.)
        """
        number = int(value) if len(value) <= _MOST_DIGITS else None
        if number is None or not LEAST_ID <= number <= MOST_ID:
            raise NotFound(f"there is nothing of this id: ids are from {LEAST_ID} to {MOST_ID}")
        return number


def install(app: APIFlask, *, with_token: bool) -> None:
    """Serve the document at ``/openapi.json``, and allow ids in routes; call before any route is added."""
    app.url_map.converters["id"] = IdConverter
    app.config |= {
        "DESCRIPTION": _DESCRIPTION,
        "LICENSE": {"name": "MIT"},
        # fixed, since APIFlask would take it from the first request's Host header, which anybody can choose
        "SERVERS": [{"url": "/"}],
        "AUTO_404_RESPONSE": False,
        "AUTO_VALIDATION_ERROR_RESPONSE": False,
        "AUTO_OPERATION_ID": True,
    }
    if with_token:
        app.config["SECURITY_SCHEMES"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    app.spec_processor(functools.partial(complete, with_token=with_token))


def complete(document: Document | str, *, with_token: bool) -> Document:
    """Add what holds for every operation to the document, and shorten the names of its schemas."""
    assert isinstance(document, dict)  # noqa: S101 - as JSON is made of it
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _schema_of(Problem)
    for generated in ("HTTPError", "ValidationError"):
        schemas.pop(generated, None)
    for method, operation in _operations(document):
        _complete_parameters(method, operation)
        _complete_responses(method, operation, with_token=with_token)
        if with_token:
            operation["security"] = [{_SCHEME: []}]
    return _with_short_names(document)


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path in document["paths"].values():
        yield from path.items()


def _complete_parameters(method: str, operation: Document) -> None:
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            parameter["required"] = True
            parameter["description"] = _IDS[parameter["name"]]
            parameter["schema"] = _ID_SCHEMA
        else:
            parameter.update(_described(parameter["schema"]))
    if method == "post":
        operation["parameters"].append(_KEY_PARAMETER)


def _described(schema: Document) -> Document:
    """Schema and description of a parameter, without null: an optional parameter is left out instead."""
    (kind,) = [one for one in schema.pop("anyOf", [{}]) if one.get("type") != "null"]
    description = schema.pop("description", None)
    kept = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    return {"schema": kept | kind} | ({"description": description} if description else {})


def _complete_responses(method: str, operation: Document, *, with_token: bool) -> None:
    own = operation["responses"]
    everywhere = dict(_EVERYWHERE)
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        everywhere |= _WITH_BODY
    if any(parameter["in"] == "query" for parameter in operation["parameters"]):
        everywhere |= _WITH_QUERY
    if method == "post":
        everywhere |= _WITH_KEY
    if with_token:
        everywhere |= _WITHOUT_TOKEN
    for status, description in everywhere.items():
        own.setdefault(str(status), {"description": description})
    for status, response in own.items():
        if int(status) >= 400:  # noqa: PLR2004 - where errors begin
            response["content"] = _PROBLEM
            if status in _WITH_RETRY_AFTER:
                response["headers"] = {"Retry-After": _RETRY_AFTER}
        elif method == "post":
            # a write that changes a row has the same reply as one that makes it
            response["content"] = next(one["content"] for one in own.values() if "content" in one)
            response["headers"] = {REPLAYED_HEADER: {"schema": {"type": "string", "const": "true"}}}
    operation["responses"] = dict(sorted(own.items()))


def _schema_of(model: type[BaseModel]) -> Document:
    return model.model_json_schema(ref_template="#/components/schemas/{model}")


def _with_short_names(document: Document) -> Document:
    """Shorten the names that APIFlask gives to nested models: ``MoviePage.Movie`` becomes ``Movie``."""
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {
        name.rpartition(".")[2]: schema for name, schema in sorted(schemas.items())
    }
    shortened: Document = _map_references(document)
    return shortened


def _map_references(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            name: re.sub(r"/[^/]*\.", "/", value) if name == "$ref" else _map_references(value)
            for name, value in part.items()
        }
    return [_map_references(each) for each in part] if isinstance(part, list) else part


docs = APIBlueprint("docs", __name__, url_prefix="/docs", enable_openapi=False)

_FILES = Path(flask_swagger_ui.__file__).parent / "dist"
_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Dataflix API</title>
  <link rel="icon" href="{{ file('favicon-32x32.png') }}">
  <link rel="stylesheet" href="{{ file('swagger-ui.css') }}">
</head>
<body>
  <div id="ui"></div>
  <script src="{{ file('swagger-ui-bundle.js') }}"></script>
  <script src="{{ url_for('docs.start') }}"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true,
});
"""
# Swagger UI sets style attributes, and its icons are data: URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECONDS = 3600


@docs.get("")
@public
def page() -> Response:
    """Show the page with Swagger UI."""
    html = render_template_string(_PAGE, file=lambda name: url_for("docs.file", name=name))
    return Response(
        html, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY}
    )


@docs.get("/start.js")
@public
def start() -> Response:
    """The script that starts Swagger UI."""
    return Response(_START, content_type="text/javascript; charset=utf-8")


@docs.get("/files/<path:name>")
@public
def file(name: str) -> Response:
    """One of Swagger UI's files."""
    return send_from_directory(_FILES, name, max_age=_SECONDS)
