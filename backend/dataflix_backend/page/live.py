"""``GET /pipeline``."""

from __future__ import annotations

from urllib.parse import urlsplit

from apiflask import APIBlueprint
from flask import Response, current_app, request
from flask.blueprints import BlueprintSetupState

from dataflix_backend.page.pipeline import Pipeline
from dataflix_backend.page.schemas import PipelineView
from dataflix_backend.recommendations.views import served_model, status
from dataflix_backend.replies import reply

pipeline = APIBlueprint("pipeline", __name__)

_EXTENSION = "dataflix-pipeline"


@pipeline.record_once
def _begin(state: BlueprintSetupState) -> None:
    state.app.extensions[_EXTENSION] = Pipeline(state.app.extensions["dataflix"])


@pipeline.get("/pipeline")
@pipeline.output(PipelineView)
def show() -> Response:
    """Show how the pipeline does right now."""
    view: Pipeline = current_app.extensions[_EXTENSION]
    return reply(
        view.look(urlsplit(f"//{request.host}").hostname or "127.0.0.1", served_model(), status().not_served)
    )
