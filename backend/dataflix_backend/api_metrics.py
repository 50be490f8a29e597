"""The metrics of the API's processes, added up for Prometheus.

Each process counts in a file of its own, named by its place among the workers. A worker that replaces a
killed one takes its place, and so continues its counts.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

#: Where prometheus_client looks for the folder.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_COMPUTE_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1)


class Metrics:
    """The metrics of one process's requests."""

    def __init__(self) -> None:
        own = CollectorRegistry()  # /metrics reads the files of all processes
        self.seconds = Histogram(
            "dataflix_backend_request_seconds",
            "How long requests took, by route and status.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=own,
        )
        self.replays = Counter(
            "dataflix_backend_idempotent_replays",
            "Writes that got the reply of an earlier request with the same Idempotency-Key.",
            registry=own,
        )


class ModelMetrics:
    """One process's metrics of recommendations and of its model; make only one object in each process."""

    def __init__(self) -> None:
        own = CollectorRegistry()  # /metrics reads the files of all processes
        self.seconds = Histogram(
            "dataflix_backend_recommend_compute_seconds",
            "How long ranking, stars and reasons of one reply took, without PostgreSQL.",
            buckets=_COMPUTE_BUCKETS,
            registry=own,
        )
        self._version = Gauge(
            "dataflix_backend_model_version",
            "The version of the model that is served.",
            registry=own,
            multiprocess_mode="mostrecent",
        )
        self._trained = Gauge(
            "dataflix_backend_model_trained_timestamp_seconds",
            "When the model that is served was trained; its age is the difference to now.",
            registry=own,
            multiprocess_mode="mostrecent",
        )
        self._swaps = Counter(
            "dataflix_backend_model_swaps", "Models that processes have put in service.", registry=own
        )
        self._failures = Counter(
            "dataflix_backend_model_failures",
            "Failures to fetch, use or watch for a model or the catalogue, by kind.",
            ["kind"],
            registry=own,
        )

    def serving(self, version: int, trained_at: datetime) -> None:
        """Record that a model was put in service."""
        self._swaps.inc()
        self._version.set(version)
        self._trained.set(trained_at.timestamp())

    def failed(self, kind: str) -> None:
        """Count a failure of this kind."""
        self._failures.labels(kind).inc()


def clear(folder: Path) -> None:
    """Empty the folder of counts, and make it the processes' folder; call before the first worker starts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_FOLDER_VARIABLE] = str(folder)


def make_worker_metrics(place: int) -> Metrics:
    """The metrics of the worker in this place; call once in each process, before anything is counted."""
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
    return Metrics()


def render() -> bytes:
    """The sums of all processes' metrics, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
