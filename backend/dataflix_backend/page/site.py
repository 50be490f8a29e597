"""The paths of the web page: ``/`` and its files, and ``GET /pipeline``, whose view the page shows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from apiflask import APIBlueprint
from flask import Response, current_app, request, send_from_directory, url_for
from flask.blueprints import BlueprintSetupState

from dataflix_backend.page.pipeline import Pipeline, PipelineView
from dataflix_backend.recommendations.model_cache import status
from dataflix_backend.recommendations.views import served_model
from dataflix_backend.request_handling import public, reply

site = APIBlueprint("site", __name__, enable_openapi=False)
pipeline = APIBlueprint("pipeline", __name__)

_EXTENSION = "dataflix-pipeline"

_FILES = Path(__file__).parent / "static"
_PAGE = (_FILES / "index.html").read_text(encoding="utf-8")
#: The page may load its own files only, and run no inline scripts.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_A_YEAR = 31_536_000


def _edition() -> str:
    """A short digest of the files. It is part of their addresses, so that browsers may keep them for long."""
    content = b"".join(path.read_bytes() for path in sorted(_FILES.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


_EDITION = _edition()


@site.get("/")
@public
def page() -> Response:
    """Show the page."""
    files = url_for("site.file", edition=_EDITION, name="").rstrip("/")
    return Response(
        _PAGE.replace("{{ files }}", files),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
    )


@site.get("/page/<edition>/<path:name>")
@public
def file(edition: str, name: str) -> Response:
    """One of the page's files, as it is now. Only under the current edition may browsers keep it for long."""
    answer = send_from_directory(_FILES, name)
    if edition == _EDITION:
        answer.cache_control.no_cache = None
        answer.cache_control.public = True
        answer.cache_control.max_age = _A_YEAR
        answer.cache_control.immutable = True
    return answer


@pipeline.record_once
def _begin(state: BlueprintSetupState) -> None:
    state.app.extensions[_EXTENSION] = Pipeline(state.app.extensions["dataflix"])


@pipeline.get("/pipeline")
@pipeline.output(PipelineView)
def show() -> Response:
    """Show the state of the pipeline right now."""
    view: Pipeline = current_app.extensions[_EXTENSION]
    return reply(
        view.look(urlsplit(f"//{request.host}").hostname or "127.0.0.1", served_model(), status().refusal)
    )
