"""The masker's metrics and health: what it has done, and whether it can do its work.

Metrics are counts, sizes, times and names, never values. The topics are checked before the masker starts;
its metrics and health are served on its port while it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, cast

import faust
from faust.web import Request, Response, View
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC, Table
from dataflix_stream_processors.delivery import Delivery, DeliveryError
from dataflix_stream_processors.poll_consumer import PollConsumer

_BATCH_SIZES = (1, 10, 50, 100, 250, 500, 1000, 2000, 4000)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """All metrics of one masker process, in a registry of their own."""

    def __init__(self, key_id: str) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.events = Counter(
            "masker_events", "Messages read.", ["table", "op", "outcome"], registry=registry
        )
        self.bytes_in = Counter("masker_bytes_in", "Bytes of values read.", ["table"], registry=registry)
        self.bytes_out = Counter("masker_bytes_out", "Bytes of values written.", ["table"], registry=registry)
        self.lag = Gauge("masker_lag", "Messages not yet masked.", ["topic", "partition"], registry=registry)
        self.drift = Counter(
            "masker_drift",
            "Messages with a column unknown to the contract.",
            ["table", "column"],
            registry=registry,
        )
        self.dead_letters = Counter("masker_dead_letters", "Messages refused.", ["reason"], registry=registry)
        self.batch_size = Histogram(
            "masker_batch_size", "Messages in a batch.", buckets=_BATCH_SIZES, registry=registry
        )
        self.batch_seconds = Histogram(
            "masker_batch_seconds",
            "From reading a batch to its acknowledgement by the broker.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.age = Gauge(
            "masker_last_event_age_seconds",
            "From PostgreSQL's commit to the broker's acknowledgement, for the last batch's newest event.",
            registry=registry,
        )
        build = Gauge(
            "masker_build_info", "Version and masking key id.", ["version", "key_id"], registry=registry
        )
        build.labels(version("dataflix"), key_id).set(1)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


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
            a worker without partitions is healthy.
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
