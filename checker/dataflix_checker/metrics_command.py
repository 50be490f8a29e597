"""The program ``dataflix-metrics``: prints metrics for Prometheus that the servers themselves do not have.

It prints them once: a cron job can pass them to node_exporter's textfile collector, for example. If a server
does not answer, its metrics are left out, and its ``dataflix_up`` is 0, so that no old value looks new.
"""

from __future__ import annotations

import sys
from datetime import datetime

import typer
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from dataflix_clients.answers import Unknown, ask
from dataflix_clients.batch import Batch, LastRun, Reconciled, read_batch
from dataflix_clients.capture import Capture
from dataflix_clients.connect import Connector
from dataflix_clients.kafka import Backlog, read_backlog
from dataflix_clients.preflight import faults
from dataflix_clients.readiness import NOT_READY, LoginRefusedError, probes
from dataflix_clients.replication_slot import SlotState, slot_health
from dataflix_clients.source_facts import SourceFacts
from dataflix_clients.stack_status import read_capture
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False)


@app.command()
def main() -> None:
    """Print health, lag, slot and the last batch in Prometheus' text format."""
    try:
        settings = load_settings()
    except SettingsError as error:
        typer.echo(f"dataflix-metrics: {error}", err=True)
        raise typer.Exit(1) from error
    batch = read_batch(settings) if settings.profile == "full" else None
    sys.stdout.buffer.write(
        render(
            up(settings),
            read_capture(settings),
            ask(read_backlog, settings),
            batch,
        )
    )


def up(settings: Settings) -> dict[str, bool]:
    """Whether each server of the profile is ready, by its name."""
    found = {}
    for name, probe in probes(settings).items():
        try:
            probe(settings)
        except (*NOT_READY, LoginRefusedError):
            found[name] = False
        else:
            found[name] = True
    return found


def render(
    answers: dict[str, bool],
    capture: Capture,
    backlog: Backlog | Unknown,
    batch: Batch | None,
) -> bytes:
    """The metrics in Prometheus' text format; ``batch`` is None in a profile without the daily batch."""
    gauges = _Gauges()
    for name, answer in answers.items():
        gauges.set("dataflix_up", "The server answers as it should.", answer, service=name)
    _tell_of_capture(gauges, capture)
    if not isinstance(backlog, Unknown):
        for group, lag in backlog.lag.items():
            gauges.set("dataflix_lag_records", "Records that a group has yet to read.", lag, group=group)
        gauges.set("dataflix_dead_letters", "Messages that were refused, and are kept.", backlog.dead_letters)
    if batch is not None:
        _tell_of_batch(gauges, batch)
    return gauges.text()


class _Gauges:
    """A set of gauges; each is made when it is first set."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}

    def set(self, name: str, what: str, value: float, **labels: str) -> None:
        """Set a gauge, with these labels if there are any."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, what, labels, registry=self._registry)
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def text(self) -> bytes:
        """All gauges in Prometheus' text format."""
        return generate_latest(self._registry)


def _tell_of_capture(gauges: _Gauges, capture: Capture) -> None:
    wrong = faults(capture.findings)
    # A missing slot counts as lost. If PostgreSQL did not answer, dataflix_up shows it too.
    health = slot_health(capture.slot)
    streaming = health.state is SlotState.STREAMING
    gauges.set(
        "dataflix_slot_streaming", "Whether Debezium reads the slot and its WAL is complete.", streaming
    )
    if isinstance(capture.source, SourceFacts):
        endangered = health.state is SlotState.ENDANGERED
        gauges.set("dataflix_slot_endangered", "The slot is lost at the next checkpoint.", endangered)
        gauges.set("dataflix_slot_held_bytes", "WAL that waits for Debezium.", health.retained_bytes)
        what = "How long the slot is read and has not advanced; 0 while it advances."
        gauges.set("dataflix_slot_stalled_seconds", what, capture.stalled_s)
        gauges.set("dataflix_capture_faults", "Findings of the preflight that lose changes.", len(wrong))
    if isinstance(capture.connector, Connector):
        running = capture.connector.status.running
        gauges.set("dataflix_connector_running", "The connector and its task run.", running)


def _tell_of_batch(gauges: _Gauges, batch: Batch) -> None:
    if isinstance(batch.run, LastRun) and batch.run.ended:
        ended = datetime.fromisoformat(batch.run.ended).timestamp()
        gauges.set(
            "dataflix_batch_succeeded", "Whether the newest finished run succeeded.", not batch.run.fault
        )
        gauges.set("dataflix_batch_ended_timestamp_seconds", "When it ended.", ended)
    if isinstance(batch.reconciled, Reconciled):
        for kind in ("missing", "different", "ghosts"):
            count = getattr(batch.reconciled, kind)
            what = "Rows that the newest reconciliation found wrong, and repaired."
            gauges.set("dataflix_reconciled_rows", what, count, found=kind)
    if not isinstance(batch.champion, Unknown):
        gauges.set("dataflix_champion_version", "Version of MLflow's champion; 0: none.", batch.champion)
