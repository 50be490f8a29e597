"""Whether the masker can do its work, and its metrics: before it starts, and on its port while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import faust
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST

from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC, Table
from dataflix_stream_processors.delivery import Delivery, DeliveryError
from dataflix_stream_processors.masker_metrics import Metrics
from dataflix_stream_processors.poll_consumer import PollConsumer


def topic_faults(partitions: Mapping[str, int], tables: Mapping[str, Table]) -> list[str]:
    """What is wrong with the topics, and what to do; empty if nothing is.

    Args:
        partitions: how many partitions each topic of the broker has.
        tables: the contract.
    """
    needed = [topic for table in tables.values() for topic in (table.raw_topic, table.masked_topic)]
    missing = [topic for topic in (*needed, DEAD_LETTER_TOPIC, DRIFT_TOPIC) if topic not in partitions]
    if missing:
        return [f"topics are missing, run dataflix-connector topics: {', '.join(missing)}"]
    return [
        f"{table.masked_topic} has {partitions[table.masked_topic]} partitions, {table.raw_topic} has "
        f"{partitions[table.raw_topic]}: a row keeps its partition, run dataflix-connector topics"
        for table in tables.values()
        if partitions[table.masked_topic] < partitions[table.raw_topic]
    ]


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
