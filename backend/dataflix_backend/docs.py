"""The API's documentation for people: Swagger UI from a Python package, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import flask_swagger_ui  # type: ignore[import-untyped]
from apiflask import APIBlueprint
from flask import Response, render_template_string, send_from_directory, url_for

from dataflix_backend.access import public

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
# Swagger UI writes style attributes; its icons are data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECONDS = 3600


@docs.get("")
@public
def page() -> Response:
    """The page."""
    html = render_template_string(_PAGE, file=lambda name: url_for("docs.file", name=name))
    return Response(
        html, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY}
    )


@docs.get("/start.js")
@public
def start() -> Response:
    """What the page runs."""
    return Response(_START, content_type="text/javascript; charset=utf-8")


@docs.get("/files/<path:name>")
@public
def file(name: str) -> Response:
    """One of Swagger UI's files."""
    return send_from_directory(_FILES, name, max_age=_SECONDS)
