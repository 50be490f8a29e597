"""Compare a warehouse with the contract, and plan the statements that bring it up to date. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dataflix_clickhouse import statements
from dataflix_clickhouse.statements import Ingest
from dataflix_contract import Table
from dataflix_contract.faults import Fault


@dataclass(frozen=True, slots=True)
class Found:
    """The present state of the warehouse.

    Attributes:
        databases: the engine of each database, by name.
        comments: the comment of each object of the database raw, by name.
        columns: type by column name, by table of the database raw.
        reports: names of the columns, by table of the database ops.
    """

    databases: Mapping[str, str] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ops_tables: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, and a few words that say what it does."""

    what: str
    sql: str


def plan(tables: Iterable[Table], found: Found, brokers: str, cluster: str = "") -> Iterator[Step]:
    """Plan the statements to run, in order; none if everything is as it should be.

    Args:
        tables: the contract's tables.
        found: the warehouse's present state.
        brokers: Kafka's address, ``host:port``.
        cluster: the replicas that keep the warehouse, by the name that the server knows them by;
            empty: one server.

    Raises:
        Fault: a column has another type than the contract says, or a warehouse of one server is to
            become one of several, or the other way round.
    """
    yield from _databases(found, cluster)
    if "ingest_errors" not in found.comments:
        yield Step("create raw.ingest_errors", statements.ingest_errors(cluster))
    for name, create in statements.ops_tables(cluster).items():
        if name not in found.ops_tables:
            yield Step(f"create ops.{name}", create)
            continue
        for column, kind in statements.ADDED_COLUMNS.get(name, {}).items():
            if column not in found.ops_tables[name]:
                yield Step(
                    f"add the column ops.{name}.{column}",
                    f"ALTER TABLE ops.{name} ADD COLUMN IF NOT EXISTS {column} {kind}",
                )
    for table in tables:
        yield from _table(table, found, cluster)
        yield from _ingest(statements.ingest(table, brokers), found)
        yield from _views(table, found)


def leftovers(tables: Iterable[Table], found: Found) -> list[str]:
    """Columns of raw tables that the contract no longer forwards, as ``table.column``."""
    return [
        f"{table.name}.{column}"
        for table in tables
        for column in found.columns.get(table.name, {})
        if column not in _wanted(table) and not column.startswith("_")
    ]


def _databases(found: Found, cluster: str) -> Iterator[Step]:
    wanted = statements.database_engine(cluster)
    for name in statements.DATABASES:
        engine = found.databases.get(name)
        if engine is None:
            yield Step(f"create the database {name}", statements.database(name, cluster))
        elif engine != wanted:
            raise Fault(
                f"the database {name} is {engine}, and DATAFLIX_CLICKHOUSE_CLUSTER={cluster} wants {wanted}: "
                "no warehouse changes over by itself. Set it back, or drop the databases and run this again; "
                "docs/operations.md says how the warehouse is filled anew"
            )


def _wanted(table: Table) -> dict[str, str]:
    return {column.name: column.clickhouse_type for column in table.forwarded_columns}


def _table(table: Table, found: Found, cluster: str) -> Iterator[Step]:
    present = found.columns.get(table.name)
    if present is None:
        yield Step(f"create raw.{table.name}", statements.rows(table, cluster))
        return
    previous = None
    for name, kind in _wanted(table).items():
        if name not in present:
            position = f"AFTER {previous}" if previous else "FIRST"
            yield Step(
                f"add the column raw.{table.name}.{name}",
                f"ALTER TABLE raw.{table.name} ADD COLUMN IF NOT EXISTS {name} {kind} {position}",
            )
        elif present[name] != kind:
            raise Fault(
                f"raw.{table.name}.{name} is {present[name]} and the contract says {kind}: "
                f"ALTER TABLE raw.{table.name} MODIFY COLUMN {name} {kind}, then run this again"
            )
        previous = name


def _ingest(wanted: Ingest, found: Found) -> Iterator[Step]:
    if all(found.comments.get(name) == wanted.fingerprint for name in wanted.names):
        return
    # The queue is dropped first and created last, so that it never reads while a view is missing. Meanwhile
    # Kafka keeps the consumer group's offsets.
    for name in wanted.names:
        if name in found.comments:
            yield Step(f"drop raw.{name}", f"DROP TABLE IF EXISTS raw.{name} SYNC")
    yield Step(f"create a placeholder for raw.{wanted.queue}", wanted.placeholder)
    for name, create in wanted.views.items():
        yield Step(f"create raw.{name}", statements.commented(create, wanted.fingerprint))
    yield Step(f"drop the placeholder for raw.{wanted.queue}", f"DROP TABLE raw.{wanted.queue} SYNC")
    create_queue = statements.commented(wanted.create_queue, wanted.fingerprint)
    yield Step(f"create raw.{wanted.queue}", create_queue)


def _views(table: Table, found: Found) -> Iterator[Step]:
    for name, create in statements.views(table).items():
        comment = statements.fingerprint(create)
        if found.comments.get(name) == comment:
            continue
        if name in found.comments and "CREATE OR REPLACE" not in create:
            yield Step(f"drop the view raw.{name}", f"DROP VIEW IF EXISTS raw.{name} SYNC")
        yield Step(f"create the view raw.{name}", statements.commented(create, comment))
