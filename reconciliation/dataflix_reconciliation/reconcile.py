"""Make a table of the warehouse equal to the source's, and report what differed.

Rows of the snapshot get the fence as their version. Every change that the snapshot does not see is above
the fence, so that it wins whenever it arrives. See docs/decisions/reconciliation.md.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from dataflix_clients import postgres
from dataflix_clients.clickhouse import wait_for_replicas
from dataflix_clients.fence import take_fence
from dataflix_clients.orphans import count_orphans
from dataflix_contract import Masking, Settings, Table
from dataflix_contract.console import Progress
from dataflix_contract.faults import Fault
from dataflix_reconciliation import source_snapshot, warehouse_staging
from dataflix_reconciliation.report import Counts, Report, Stream
from dataflix_reconciliation.source_snapshot import Masker
from dataflix_reconciliation.stream_catchup import announce, stream_readings, wait_for_stream
from dataflix_reconciliation.warehouse_staging import Staging

_TOKEN_BYTES = 4


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for open transactions, and for a stream that moves."""

    fence_s: float
    stream_s: float


def reconcile(
    settings: Settings, table: Table, run_id: str, timeouts: Timeouts, progress: Progress
) -> Report:
    """Compare one table with the source, repair what differs, keep and return the report.

    Raises:
        Fault: an open transaction or another reconciliation is in the way, or a server is not as it
            must be. The table is then either unchanged or completely repaired.
        psycopg.Error: PostgreSQL is away, or refuses; ``adbc_driver_manager.Error`` means the same.
        ClickHouseError: ClickHouse is away, or refuses.
    """
    with (
        postgres.connect(settings, settings.postgres_debezium, program=source_snapshot.PROGRAM) as source,
        warehouse_staging.connected(settings) as client,
    ):
        source_snapshot.lock(source, table)
        staging = Staging(client, table, secrets.token_hex(_TOKEN_BYTES))
        if stale := staging.sweep():
            progress.tell(f"dropped {stale} tables that a killed run had left in staging")
        try:
            return _Attempt(settings, table, run_id, timeouts, progress, source, client, staging).run()
        finally:
            staging.drop()


@dataclass(frozen=True, slots=True)
class _Attempt:
    settings: Settings
    table: Table
    run_id: str
    timeouts: Timeouts
    progress: Progress
    source: postgres.Connection
    client: Client
    staging: Staging

    def run(self) -> Report:
        """Do everything between taking the lock and cleaning up."""
        began = dt.datetime.now(dt.UTC)
        wait_for_replicas(self.client, self.settings, "ops.reconciliations")
        killed = warehouse_staging.unfinished(self.client, self.run_id, self.table)
        last_source_shape = warehouse_staging.last_source_shape(self.client, self.table)
        fence = take_fence(self.source, self.timeouts.fence_s, self.progress.tell)
        with source_snapshot.take_snapshot(self.settings, self.table) as snapshot:
            rows = self._load(snapshot)
        verdict = self._judge(fence, snapshot)
        altered = snapshot.shape != last_source_shape if last_source_shape else snapshot.reshaped
        if altered and verdict.stream is Stream.PASSED:
            verdict = replace(verdict, stream=Stream.ALTERED)
        report = Report(
            run_id=self.run_id,
            table=self.table.name,
            fence=fence,
            rows=rows,
            counts=verdict.counts,
            truncated=verdict.truncated,
            in_flight=verdict.in_flight,
            ahead=self._ahead(),
            orphans=count_orphans(self.source, self.table),
            stream=verdict.stream,
            source_shape=snapshot.shape,
            started_at=began,
            seconds=_seconds_since(began),
        )
        if killed:  # what a killed attempt found, and may have repaired, belongs in this run's report
            report = report.with_earlier(*killed)
        if verdict.counts.total:
            warehouse_staging.record(self.client, report, done=False)
            self.staging.prepare_repair(fence, verdict.wal, snapshot.taken_at)
            self.staging.apply()
            report = replace(report, seconds=_seconds_since(began))
        warehouse_staging.record(self.client, report, done=True)
        try:
            announce(self.settings, self.table, fence, snapshot.taken_at)
        except Fault as fault:  # the tables are equal all the same
            self.progress.tell(f"its dead letters stay listed until the next reconciliation: {fault}")
        return report

    def _load(self, snapshot: source_snapshot.Snapshot) -> int:
        secret = self.settings.masking_key.get_secret_value()
        masker = Masker(self.table, Masking(secret, self.settings.masking_key_id))
        self.progress.tell(f"loading about {snapshot.estimate:,} rows" if snapshot.estimate else "loading")
        self.progress.expect(snapshot.estimate)
        return self.staging.load(masker.schema, self._masked(masker, snapshot))

    def _masked(self, masker: Masker, snapshot: source_snapshot.Snapshot) -> Iterator[pa.RecordBatch]:
        for block in snapshot.blocks:
            yield masker.mask(block)
            self.progress.advance(block.num_rows)

    def _judge(self, fence: int, snapshot: source_snapshot.Snapshot) -> _Verdict:
        """Compare; if anything differs, wait for changes that are still on their way, and compare again."""
        first, wal = self._compare(fence)
        if not first.total:
            return _Verdict(first, wal)
        looks = stream_readings(self.settings, self.source, self.table, snapshot.position)
        outcome = wait_for_stream(looks, self.timeouts.stream_s, self.progress.tell)
        if outcome.reason:
            self.progress.tell(f"the stream is {outcome.stream.value}: {outcome.reason}")
        wait_for_replicas(self.client, self.settings, "ops.truncates", f"raw.{self.table.name}")
        truncated = self.staging.insert_truncate_tombstones()
        counts, wal = self._compare(fence)
        in_flight = max(0, first.total - truncated - counts.total)
        return _Verdict(counts, wal, outcome.stream, in_flight, truncated)

    def _compare(self, fence: int) -> tuple[Counts, int]:
        """What differs, and a WAL position at or above every change that the comparison can have seen."""
        self.progress.tell("comparing")
        wait_for_replicas(self.client, self.settings, f"raw.{self.table.name}")
        self.staging.compare(fence)
        wal = source_snapshot.insert_position(self.source)
        return self.staging.count(fence, wal), wal

    def _ahead(self) -> int:
        highest = self.staging.highest_version()
        wal = source_snapshot.insert_position(self.source)
        return self.staging.ahead(wal) if highest > wal else 0


@dataclass(frozen=True, slots=True)
class _Verdict:
    counts: Counts
    wal: int
    stream: Stream = Stream.UNASKED
    in_flight: int = 0
    truncated: int = 0


def _seconds_since(began: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - began).total_seconds()
