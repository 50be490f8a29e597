"""Has the stream delivered what a snapshot saw? Only then is a difference the stream's fault.

And the other way round: telling the dead letters' readers what a reconciliation has made good.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer

from dataflix_clients.kafka import admin_client, behind, read_bounds, read_committed
from dataflix_clients.postgres import Connection
from dataflix_clients.replication_slot import read_slot
from dataflix_contract import Settings, Table
from dataflix_contract.faults import Fault
from dataflix_contract.schema import HEARTBEAT_QUERY, MASKER_GROUP, RECONCILED_TOPIC
from dataflix_reconciliation.report import Stream

#: A stream that does not move for so long is down: longer than ClickHouse's consumer needs to
#: come back after a kill, and than the connector's heartbeats are apart.
STILL_STREAM_S = 20.0

_POLL_S = 0.25
_ANNOUNCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the stream is: what it waits for, and a figure that changes while it moves."""

    waits_for: str
    figure: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of waiting for the stream, and where it stood when we gave up."""

    stream: Stream
    reason: str = ""


def follow(
    looks: Iterable[Progress],
    timeout_s: float,
    report: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Look until the stream has passed, the time is up, or nothing has moved for too long.

    Args:
        looks: looks once each time it is asked, and ends when the stream has passed.
        timeout_s: how long a stream that moves gets.
        report: told once a second what is waited for.
        clock: seconds.
        pause: waits so many seconds.
    """
    began = moved = told = clock()
    last: Progress | None = None
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


def stages(
    settings: Settings, source: Connection, table: Table, position: int
) -> Generator[Progress, None, None]:
    """Look for what keeps the table from holding every change committed below a WAL position.

    Capture, masker, warehouse: each must be past what the one before had given when it passed.

    Args:
        settings: where Kafka is.
        source: a session that may read the slot and beat the connector's heart.
        table: the table.
        position: the WAL position.

    Yields:
        How far it is, as long as it has not passed.

    Raises:
        Fault: there is no slot, or Kafka does not answer.
    """
    # A change above the position: the connector confirms it at once, and not with its next heartbeat.
    source.execute(HEARTBEAT_QUERY.encode())
    while (confirmed := _confirmed(source)) < position:
        yield Progress("the connector has changes to capture", confirmed)
    admin = admin_client(settings)
    for group, topic in ((MASKER_GROUP, table.raw_topic), (table.warehouse_group, table.masked_topic)):
        bounds = read_bounds(admin, [topic])
        while missing := behind(bounds, read_committed(admin, group, bounds.keys())):
            yield Progress(f"{group} is {missing} messages behind", missing)


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
