"""What the processes count together, for Prometheus.

Each process counts in a file of its own, which is named by its place among the workers: the worker that
takes a killed one's place goes on counting where that one was.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

#: Where prometheus_client looks for the folder.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The counters of one process."""

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
