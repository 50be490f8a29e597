"""Wait until the stream has delivered what a snapshot saw, and announce what a reconciliation has repaired.

Only when the stream has delivered everything is a difference its fault. From the announcement, the readers of
dead letters learn which ones need no replay.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer

from dataflix_clients.kafka import admin_client, count_lag, read_bounds, read_committed
from dataflix_clients.postgres import Connection
from dataflix_clients.replication_slot import read_slot
from dataflix_contract import Settings, Table
from dataflix_contract.faults import Fault
from dataflix_contract.schema import HEARTBEAT_QUERY, MASKER_GROUP, RECONCILED_TOPIC
from dataflix_reconciliation.report import Stream

#: A stream that has not moved for this long is down. ClickHouse's consumer needs less time to come
#: back after a kill, and the time between the connector's heartbeats is shorter too.
STILL_STREAM_S = 20.0

_POLL_S = 0.25
_ANNOUNCE_S = 10.0


@dataclass(frozen=True, slots=True)
class StreamReading:
    """How far the stream is: what it waits for, and a figure that changes while it moves."""

    waits_for: str
    figure: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of waiting for the stream, and where it stood when we gave up."""

    stream: Stream
    reason: str = ""


def wait_for_stream(
    looks: Iterable[StreamReading],
    timeout_s: float,
    report: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Wait until the stream has delivered everything, the time is up, or nothing has moved for too long.

    Args:
        looks: looks once for each item, and ends when the stream has delivered everything.
        timeout_s: how long a stream that moves gets.
        report: told once a second what is waited for.
        clock: seconds.
        pause: waits so many seconds.
    """
    began = moved = told = clock()
    last: StreamReading | None = None
    try:
        for progress in looks:
            now = clock()
            if progress != last:
                last, moved = progress, now
            if now - moved >= STILL_STREAM_S:
                return Outcome(Stream.DOWN, f"{progress.waits_for}, and it does not move")
            if now - began >= timeout_s:
                return Outcome(Stream.BEHIND, f"{progress.waits_for} after {timeout_s:.0f} s")
            if now - told >= 1:
                told = now
                report(f"waiting for the stream: {progress.waits_for}")
            pause(_POLL_S)
    except Fault as fault:
        return Outcome(Stream.DOWN, str(fault))
    return Outcome(Stream.PASSED)


def stream_readings(
    settings: Settings, source: Connection, table: Table, position: int
) -> Generator[StreamReading, None, None]:
    """Tell what the table waits for, until it holds every change committed below a WAL position.

    The stages are capture, masker and warehouse. Each must have processed everything that the stage before it
    had delivered when that one was done.

    Args:
        settings: where Kafka is.
        source: a session that may read the slot and write to the heartbeat's table.
        table: the table.
        position: the WAL position.

    Yields:
        How far the stream is, as long as it has not delivered everything.

    Raises:
        Fault: there is no slot, or Kafka does not answer.
    """
    # This makes a change above the position, which the connector confirms at once; otherwise it would confirm
    # the position only with its next heartbeat.
    source.execute(HEARTBEAT_QUERY.encode())
    while (confirmed := _confirmed(source)) < position:
        yield StreamReading("the connector has changes to capture", confirmed)
    admin = admin_client(settings)
    for group, topic in ((MASKER_GROUP, table.raw_topic), (table.warehouse_group, table.masked_topic)):
        bounds = read_bounds(admin, [topic])
        while missing := count_lag(bounds, read_committed(admin, group, bounds.keys())):
            yield StreamReading(f"{group} is {missing} messages behind", missing)


def announce(settings: Settings, table: Table, fence: int, taken_at: dt.datetime) -> None:
    """Say that the table's rows are right up to the fence, so that older dead letters need no replay.

    Args:
        settings: where Kafka is.
        table: the table.
        fence: whatever was changed up to this WAL position has been seen.
        taken_at: when the snapshot was taken.

    Raises:
        Fault: Kafka did not take it.
    """
    said = {"table": table.name, "fence": fence, "taken_ms": int(taken_at.timestamp() * 1000)}
    errors: list[str] = []
    try:
        producer = Producer(
            settings.kafka_client | {"log_level": 0, "delivery.timeout.ms": int(_ANNOUNCE_S * 1000)}
        )
        producer.produce(
            RECONCILED_TOPIC,
            json.dumps(said).encode(),
            table.name.encode(),
            on_delivery=lambda error, _message: errors.append(error.str()) if error else None,
        )
        left = producer.flush(_ANNOUNCE_S + 1)
    except KafkaException as error:
        raise Fault(f"Kafka does not take a record of {RECONCILED_TOPIC}: {error}") from error
    if left or errors:
        why = errors[0] if errors else "no answer"
        raise Fault(f"Kafka does not take a record of {RECONCILED_TOPIC} ({why}): is it running?")


def _confirmed(source: Connection) -> int:
    slot = read_slot(source)
    if slot is None:
        raise Fault("there is no replication slot: dataflix-connector status tells more")
    return slot.confirmed_lsn or 0
