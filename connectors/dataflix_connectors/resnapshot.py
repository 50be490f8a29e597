"""Capture everything anew with a snapshot, after the slot was lost or if the warehouse is wrong.

Ghosts are rows in the warehouse that were deleted at the source while changes were not captured. After a
snapshot whose rows have the version F (the fence), every row that still exists has at least the version F. A
row in the warehouse with a lower version is therefore a ghost, or its new version has not arrived yet.
PostgreSQL is asked which, so that a row that exists is never removed, however late its message is. If a
removed row is inserted again later, it has a version above F, which wins over the tombstone.
"""

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka.admin import AdminClient
from psycopg import sql

from dataflix_clients import clickhouse, postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.fence import take_fence
from dataflix_clients.kafka import Partition, admin_client, read_bounds, wait_until_consumed
from dataflix_clients.postgres import Connection
from dataflix_connectors.registration import Report, render_config, start_afresh, wait_until_streaming
from dataflix_contract import Settings, Table, tables
from dataflix_contract.faults import Fault, first_line
from dataflix_contract.schema import MASKER_GROUP, SOURCE_SCHEMA

_BATCH = 10_000

_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that is complete in the raw topics.

    Attributes:
        fence: the version of its rows.
        seconds: how long it took, including the wait for the fence.
        captured: how many messages each table's raw topic gained meanwhile.
    """

    fence: int
    seconds: float
    captured: dict[str, int]


def take_snapshot(
    settings: Settings, connect: ConnectClient, *, fence_timeout_s: float, timeout_s: float, report: Report
) -> Snapshot:
    """Delete slot and offsets, take a snapshot of all tables with a new fence, and stream again.

    Raises:
        Fault: a transaction blocks the fence, or the snapshot does not end in time.
    """
    began = time.monotonic()
    admin = admin_client(settings)
    if connect.config() is None:
        connect.create_stopped(render_config(settings, fence=0))
    with postgres.connect(settings, settings.postgres_admin) as source:
        # This fence is not used: it finds a transaction that would block while changes are still captured.
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
    """Wait until the warehouse has the whole snapshot, then remove ghosts from it by tombstones.

    Returns:
        The number of ghosts per table.

    Raises:
        Fault: the masker or ClickHouse does not catch up in time, or ClickHouse refuses.
    """
    admin = admin_client(settings)
    raw = read_bounds(admin, [table.raw_topic for table in _tables()])
    wait_until_consumed(admin, MASKER_GROUP, raw, timeout_s, report)
    for table in _tables():
        masked = read_bounds(admin, [table.masked_topic])
        wait_until_consumed(admin, table.warehouse_group, masked, timeout_s, report)
    with postgres.connect(settings, settings.postgres_debezium) as source:
        return _sweep_ghosts(settings, source, fence)


def _tables() -> Iterable[Table]:
    return tables().values()


def _lengths(admin: AdminClient) -> dict[Partition, int]:
    bounds = read_bounds(admin, [table.raw_topic for table in _tables()])
    return {partition: bound.next for partition, bound in bounds.items()}


def _sweep_ghosts(settings: Settings, source: Connection, fence: int) -> dict[str, int]:
    """Insert tombstones, with the fence as version, for live older rows that the source does not have.

    Returns:
        The number of ghosts per table.

    Raises:
        Fault: ClickHouse does not answer or refuses.
    """
    try:
        warehouse = clickhouse.connect(settings, settings.clickhouse_owner)
        clickhouse.wait_for_replicas(warehouse, settings, *(f"raw.{name}" for name in tables()))
        return {
            name: _insert_tombstones(warehouse, table, _ghosts(warehouse, source, table, fence), fence)
            for name, table in tables().items()
        }
    except ClickHouseError as error:
        raise Fault(f"ClickHouse did not let the ghosts be swept: {first_line(error)}") from error


def _ghosts(warehouse: Client, source: Connection, table: Table, fence: int) -> list[_Key]:
    old = warehouse.query(
        f"SELECT {', '.join(table.key)} FROM raw.{table.name} FINAL"
        " WHERE _deleted = 0 AND _version < {fence:UInt64}",
        parameters={"fence": fence},
    ).result_rows
    suspects = [tuple(row) for row in old]
    return [
        key
        for start in range(0, len(suspects), _BATCH)
        for key in _gone(source, table, suspects[start : start + _BATCH])
    ]


def _gone(source: Connection, table: Table, keys: Sequence[_Key]) -> set[_Key]:
    """The keys for which PostgreSQL has no row."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.key))
    arrays = sql.SQL(", ").join(
        sql.SQL("%s::{}[]").format(sql.SQL(table.columns[name].type.value)) for name in table.key
    )
    query = sql.SQL("SELECT {} FROM {} WHERE ({}) IN (SELECT * FROM unnest({}))").format(
        columns, sql.Identifier(SOURCE_SCHEMA, table.name), columns, arrays
    )
    rows = source.execute(query, [list(column) for column in zip(*keys, strict=True)]).fetchall()
    return set(keys) - set(rows)


def _insert_tombstones(warehouse: Client, table: Table, ghosts: Sequence[_Key], fence: int) -> int:
    """Insert the tombstones of a table at once, so that a reader sees either none or all of them."""
    if ghosts:
        now = dt.datetime.now(dt.UTC)
        warehouse.insert(
            table.name,
            [[*key, fence, 1, "d", now, now] for key in ghosts],
            column_names=[*table.key, "_version", "_deleted", "_op", "_source_ts", "_ingested_at"],
            database="raw",
        )
    return len(ghosts)
