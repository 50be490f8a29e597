"""Begin again with a snapshot, when the slot is lost or the warehouse is not to be trusted."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.fence import take_fence
from dataflix_clients.kafka import Partition, admin_client, read_bounds, wait_until_consumed
from dataflix_connectors.connector_config import render_config
from dataflix_connectors.ghosts import sweep_ghosts
from dataflix_connectors.registration import Report, start_afresh, wait_until_streaming
from dataflix_contract import Settings, Table, tables
from dataflix_contract.schema import MASKER_GROUP


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that is complete in the raw topics.

    Attributes:
        fence: the version of its rows.
        seconds: how long it took, the wait for the fence included.
        captured: messages that each table's raw topic gained meanwhile.
    """

    fence: int
    seconds: float
    captured: dict[str, int]


def take_snapshot(
    settings: Settings, connect: ConnectClient, *, fence_timeout_s: float, timeout_s: float, report: Report
) -> Snapshot:
    """Forget slot and offsets, snapshot all tables behind a new fence, go on streaming.

    Raises:
        Fault: a transaction blocks the fence, or the snapshot does not end in time.
    """
    began = time.monotonic()
    admin = admin_client(settings)
    if connect.config() is None:
        connect.create_stopped(render_config(settings, fence=0))
    with postgres.connect(settings, settings.postgres_admin) as source:
        # A fence to throw away: a transaction that would block is found while changes still flow.
        take_fence(source, fence_timeout_s, report)
    connect.stop()
    before = _lengths(admin)
    fence = start_afresh(settings, connect, fence_timeout_s, report)
    with postgres.connect(settings, settings.postgres_debezium) as source:
        wait_until_streaming(source, connect, timeout_s, report)
    after = _lengths(admin)
    captured = {
        table.name: sum(after[place] - before.get(place, 0) for place in after if place[0] == table.raw_topic)
        for table in tables().values()
    }
    return Snapshot(fence, time.monotonic() - began, captured)


def remove_ghosts(settings: Settings, fence: int, *, timeout_s: float, report: Report) -> dict[str, int]:
    """Wait until the warehouse holds all of the snapshot, then tombstone what it should not hold.

    Returns:
        The number of ghosts per table.

    Raises:
        Fault: the masker or ClickHouse does not keep up, or refuses.
    """
    admin = admin_client(settings)
    raw = read_bounds(admin, [table.raw_topic for table in _tables()])
    wait_until_consumed(admin, MASKER_GROUP, raw, timeout_s, report)
    for table in _tables():
        masked = read_bounds(admin, [table.masked_topic])
        wait_until_consumed(admin, table.warehouse_group, masked, timeout_s, report)
    with postgres.connect(settings, settings.postgres_debezium) as source:
        return sweep_ghosts(settings, source, fence)


def _tables() -> Iterable[Table]:
    return tables().values()


def _lengths(admin: AdminClient) -> dict[Partition, int]:
    bounds = read_bounds(admin, [table.raw_topic for table in _tables()])
    return {partition: bound.next for partition, bound in bounds.items()}
