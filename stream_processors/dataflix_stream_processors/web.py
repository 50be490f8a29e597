"""What the masker tells on its port: metrics and health."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

import faust
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST

from dataflix_stream_processors.batching import PollConsumer
from dataflix_stream_processors.delivery import Delivery, DeliveryError
from dataflix_stream_processors.metrics import Metrics


def add_pages(app: faust.App, metrics: Metrics, delivery: Delivery, *, standby_expected: bool) -> None:
    """Serve ``/metrics``, ``/health/live`` and ``/health/ready``.

    Args:
        app: the masker.
        metrics: what ``/metrics`` shows.
        delivery: the producer.
        standby_expected: whether there are more workers than partitions, so that
            one without partitions is well.
    """

    @app.page("/metrics")
    async def metrics_page(view: View, _request: Request) -> Response:
        refresh_lag(app, metrics)
        return view.bytes(metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @app.page("/health/live")
    async def live(view: View, _request: Request) -> Response:
        return view.json({"status": "ok"})

    @app.page("/health/ready")
    async def ready(view: View, _request: Request) -> Response:
        faults = await find_faults(app, delivery, standby_expected=standby_expected)
        status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
        body = {"status": "not ready" if faults else "ok", "faults": faults, **group_state(app)}
        return view.json(body, status=status)


def refresh_lag(app: faust.App, metrics: Metrics) -> None:
    """Set the lag of the partitions that this process has, and of no others."""
    metrics.lag.clear()
    if _member(app):
        for tp, lag in cast(PollConsumer, app.consumer).lags().items():
            metrics.lag.labels(tp.topic, tp.partition).set(lag)


def group_state(app: faust.App) -> dict[str, Any]:
    """This process's place in the consumer group."""
    assigned = (
        sorted(f"{tp.topic}:{tp.partition}" for tp in app.consumer.assignment()) if _member(app) else []
    )
    return {"partitions": assigned, "standby": _member(app) and not assigned}


async def find_faults(app: faust.App, delivery: Delivery, *, standby_expected: bool) -> list[str]:
    """Why the masker cannot do its work now; empty when it can."""
    faults = []
    if not _member(app):
        faults.append("not yet a member of the consumer group")
    elif app.rebalancing:
        faults.append("the consumer group is rebalancing")
    elif not (standby_expected or app.consumer.assignment()):
        faults.append("no partitions are assigned")
    try:
        await asyncio.to_thread(delivery.partitions)
    except DeliveryError as error:
        faults.append(str(error))
    return faults


def _member(app: faust.App) -> bool:
    return app.consumer_generation_id > 0 and not app.should_stop
