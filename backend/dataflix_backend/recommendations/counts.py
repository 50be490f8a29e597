"""What serving counts, for Prometheus; summed over the processes with everything else."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dataflix_backend.recommendations.champion import Champion

_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1)


class Counts:
    """The figures of one process; made once in a process."""

    def __init__(self) -> None:
        own = CollectorRegistry()  # the page reads the files of all processes
        self.seconds = Histogram(
            "dataflix_backend_recommend_compute_seconds",
            "How long ranking, stars and reasons of one reply took, without PostgreSQL.",
            buckets=_BUCKETS,
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

    def serving(self, champion: Champion) -> None:
        """A model was put in service."""
        self._swaps.inc()
        self._version.set(champion.version)
        self._trained.set(champion.trained_at.timestamp())

    def failed(self, kind: str) -> None:
        """Something did not work."""
        self._failures.labels(kind).inc()
