"""What the processes count together, for Prometheus.

Each process counts in a file of its own, which is named by its place among the workers: the worker that
takes a killed one's place goes on counting where that one was.
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
    """What one process counts of its requests."""

    def __init__(self) -> None:
        own = CollectorRegistry()  # the page reads the files of all
        self.seconds = Histogram(
            "dataflix_backend_request_seconds",
            "How long requests took, by route and status.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=own,
        )
        self.replays = Counter(
            "dataflix_backend_idempotent_replays",
            "Writes that were answered from an earlier one with the same Idempotency-Key.",
            registry=own,
        )


class ModelMetrics:
    """What one process counts of recommendations and of the model that it serves; made once in a process."""

    def __init__(self) -> None:
        own = CollectorRegistry()  # the page reads the files of all processes
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
        """A model was put in service."""
        self._swaps.inc()
        self._version.set(version)
        self._trained.set(trained_at.timestamp())

    def failed(self, kind: str) -> None:
        """Something did not work."""
        self._failures.labels(kind).inc()


def clear(folder: Path) -> None:
    """Begin to count anew in this folder; before the first worker starts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_FOLDER_VARIABLE] = str(folder)


def count_as(place: int) -> Metrics:
    """The counters of the worker in this place; once in a process, before anything is counted."""
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
    return Metrics()


def render() -> bytes:
    """Every process's counts, summed, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
