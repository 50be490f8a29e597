"""What all processes count, for Prometheus to fetch."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST

from dataflix_backend import metrics
from dataflix_backend.access import public

metrics_page = APIBlueprint("metrics", __name__, enable_openapi=False)


@metrics_page.get("/metrics")
@public
def show() -> Response:
    """Every process's counts, summed."""
    return Response(metrics.render(), content_type=CONTENT_TYPE_LATEST)
