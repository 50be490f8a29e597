"""The checks of servers and stream. Each check gives one result, also if a server does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import confluent_kafka

from dataflix_checker.canary import (
    MASKED_TOPICS,
    Canary,
    metrics_pages_with,
    play_canary,
    topics_with,
    warehouse_tables_with,
)
from dataflix_clients import clickhouse, kafka, postgres
from dataflix_clients.connect import read_connector
from dataflix_clients.preflight import faults
from dataflix_clients.readiness import Probe, probes
from dataflix_clients.replication_slot import SLOT_SUBJECT, exceeds_idle_wal
from dataflix_clients.row_trace import STAGES
from dataflix_clients.server_errors import SERVER_ERRORS
from dataflix_clients.stack_status import read_capture, read_source
from dataflix_contract import Settings, tables
from dataflix_contract.faults import first_line

#: How long a consumer group may take to commit its offsets; after a restart, it takes long.
_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.2
#: The name of this program's consumer group.
_GROUP = "dataflix-checker"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: the check's name.
        ok: whether it passed.
        detail: what was seen; if it failed, also what to do.
        milliseconds: for a change that was followed: the time from its commit to each stage.
    """

    check: str
    ok: bool
    detail: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)


def guarded(name: str, question: Callable[[], tuple[bool, str]]) -> CheckResult:
    """Run a check; if a server does not answer, the check has failed."""
    try:
        ok, detail = question()
    except SERVER_ERRORS as fault:
        return CheckResult(name, ok=False, detail=first_line(fault))
    return CheckResult(name, ok, detail)


def check_services(settings: Settings) -> Iterator[CheckResult]:
    """Check that each server of the profile is ready."""
    checks = {name: partial(_ready, probe) for name, probe in probes(settings).items()} | {
        "postgres": _postgres,
        "kafka": _kafka,
        "connect": _connector,
        "clickhouse": _clickhouse,
    }
    for name, check in checks.items():
        yield guarded(name, partial(check, settings))


def check_stream(settings: Settings) -> Iterator[CheckResult]:
    """Follow a canary through the pipeline; then check for leaks, lag, errors, drift and the slot."""
    canary = Canary()
    consumer = kafka.open_consumer(settings, _GROUP)
    try:
        since = list(kafka.end_positions(consumer, MASKED_TOPICS))
        dead_letters = kafka.read_backlog(settings).dead_letters
        errors = _count_ingest_errors(settings)
        yield from _check_canary(settings, canary)
        yield guarded("privacy", lambda: _no_leaks(settings, canary, consumer, since))
        yield guarded("lag", lambda: _lag(settings))
        yield guarded("dead letters", lambda: _dead_letters(settings, dead_letters))
        yield guarded("ingest errors", lambda: _ingest_errors(settings, errors))
        yield guarded("drift", lambda: _drift(settings))
        yield guarded("slot", lambda: _slot(settings))
        yield guarded("source", lambda: _source(settings))
    finally:
        consumer.close()


def _postgres(settings: Settings) -> tuple[bool, str]:
    with postgres.connect(settings, settings.postgres_owner) as source:
        counts = source.execute(
            "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM movies),"
            " (SELECT count(*) FROM ratings), current_setting('server_version')"
        ).fetchone()
    assert counts is not None  # noqa: S101 - such a query has one row
    return True, f"{counts[3]}: {counts[0]:,} users, {counts[1]:,} movies, {counts[2]:,} ratings"


def _kafka(settings: Settings) -> tuple[bool, str]:
    consumer = kafka.open_consumer(settings, _GROUP)
    try:
        metadata = consumer.list_topics(timeout=5)
    finally:
        consumer.close()
    return True, f"{len(metadata.brokers)} broker, {len(metadata.topics)} topics"


def _connector(settings: Settings) -> tuple[bool, str]:
    seen = read_connector(settings).status
    return seen.running, "connector and task are running" if seen.running else seen.description


def _ready(probe: Probe, settings: Settings) -> tuple[bool, str]:
    probe(settings)
    return True, "ready"


def _clickhouse(settings: Settings) -> tuple[bool, str]:
    warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
    rows = warehouse.command("SELECT count() FROM raw.ratings FINAL WHERE NOT _deleted")
    return True, f"{warehouse.server_version}: {int(str(rows)):,} ratings"


def _check_canary(settings: Settings, canary: Canary) -> Iterator[CheckResult]:
    title = "user inserted"
    try:
        with postgres.connect(settings, settings.postgres_owner) as source:
            for title, trace in play_canary(
                canary, settings, source, clickhouse.connect(settings, settings.clickhouse_reader)
            ):
                if STAGES[-1] in trace.at:
                    yield CheckResult(
                        title, ok=True, detail=f"version {trace.version}", milliseconds=trace.milliseconds
                    )
    except SERVER_ERRORS as fault:
        yield CheckResult(title, ok=False, detail=f"then: {first_line(fault)}")


def _no_leaks(
    settings: Settings,
    canary: Canary,
    consumer: confluent_kafka.Consumer,
    since: list[confluent_kafka.TopicPartition],
) -> tuple[bool, str]:
    places = [
        *topics_with(canary.marker, consumer, since),
        *warehouse_tables_with(canary.marker, clickhouse.connect(settings, settings.clickhouse_reader)),
        *metrics_pages_with(canary.marker, settings),
    ]
    if places:
        return False, f"the canary's name or address is in {', '.join(places[:5])}"
    return True, f"nothing of the canary in {len(MASKED_TOPICS)} topics, warehouse, metrics"


def _lag(settings: Settings) -> tuple[bool, str]:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:  # groups commit their offsets a moment after they have read
        behind = {group: records for group, records in kafka.read_backlog(settings).lag.items() if records}
        if not behind:
            return True, "zero: every consumer group has read everything"
        if time.monotonic() > deadline:
            return False, ", ".join(f"{group} is {records:,} behind" for group, records in behind.items())
        time.sleep(_POLL_SECONDS)


def _slot(settings: Settings) -> tuple[bool, str]:
    """Whether Debezium reads the slot, and the slot advances and holds little WAL."""
    capture = read_capture(settings)
    wrong = [finding.text for finding in faults(capture.findings) if finding.subject == SLOT_SUBJECT]
    if wrong or capture.slot is None:
        return False, "; ".join(wrong or capture.faults)
    held = f"{capture.slot.wal_status}, holds {capture.slot.retained_bytes / 2**20:.1f} MiB of WAL"
    return not exceeds_idle_wal(capture.slot), held


def _source(settings: Settings) -> tuple[bool, str]:
    """Whether PostgreSQL publishes everything that the contract names, as it should."""
    wrong = read_capture(settings).faults
    return not wrong, "; ".join(wrong) or "publication, tables, columns and topics are fit to be captured"


def _dead_letters(settings: Settings, before: int) -> tuple[bool, str]:
    """Whether the canary's changes caused no dead letters; older ones are reported, but do not fail it."""
    now = kafka.read_backlog(settings).dead_letters
    if now > before:
        return False, f"{now - before:,} messages of ours were refused: dataflix-dlq list"
    return True, f"{now:,} in the topic: dataflix-dlq list" if now else "none"


def _count_ingest_errors(settings: Settings) -> int:
    return int(
        str(
            clickhouse.connect(settings, settings.clickhouse_reader).command(
                "SELECT count() FROM raw.ingest_errors FINAL"
            )
        )
    )


def _ingest_errors(settings: Settings, before: int) -> tuple[bool, str]:
    now = _count_ingest_errors(settings)
    if now > before:
        return False, f"{now - before:,} masked messages became no row: see raw.ingest_errors"
    return True, f"{now:,} in raw.ingest_errors" if now else "none"


def _drift(settings: Settings) -> tuple[bool, str]:
    """Report columns that the contract does not know. This is no failure: they are not forwarded."""
    found = read_source(settings).tables
    unknown = [
        f"{name}.{column}"
        for name, table in tables().items()
        if name in found
        for column in found[name].columns
        if column not in table.columns
    ]
    if unknown:
        return True, f"not forwarded until tables.toml has a class for it: {', '.join(unknown)}"
    return True, "none: the contract knows every column"
