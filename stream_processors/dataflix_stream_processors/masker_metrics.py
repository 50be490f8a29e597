"""What Prometheus may know of the masker: counts, sizes, times and names, never values."""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
            "PostgreSQL's commit to masked and acknowledged, of the last batch's last event.",
            registry=registry,
        )
        build = Gauge(
            "masker_build_info", "Version and masking key id.", ["version", "key_id"], registry=registry
        )
        build.labels(version("dataflix"), key_id).set(1)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
