"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dataflix_dbt.execution import Outcome
from dataflix_dbt.runs import Status


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.runs = Counter("dbt_runs", "Runs that ended.", ["status"], registry=self._registry)
        self.nodes = Counter(
            "dbt_nodes", "Models, tests and sources by outcome.", ["type", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "dbt_run_seconds",
            "How long runs took.",
            buckets=[5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600],
            registry=self._registry,
        )
        self.last_success = Gauge(
            "dbt_last_success_timestamp_seconds", "When a run last succeeded.", registry=self._registry
        )
        self.unfinished = Gauge(
            "dbt_runs_unfinished", "Runs that wait or run.", ["status"], registry=self._registry
        )
        for status in Status:
            if status.finished:
                self.runs.labels(status)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Count a run that ended."""
        self.runs.labels(outcome.status).inc()
        self.seconds.observe(seconds)
        for one in outcome.results:
            self.nodes.labels(one.resource_type, one.status).inc()
        if outcome.status is Status.SUCCEEDED:
            self.last_success.set_to_current_time()

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
