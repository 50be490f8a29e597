"""What PostgreSQL says about itself: the facts that the preflight and the fence judge.

Nothing here decides anything, so that everything that does can be tested without a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr

from dataflix_connectors.faults import Fault
from dataflix_contract import Settings, tables
from dataflix_contract.postgres import parameters
from dataflix_contract.schema import HEARTBEAT_TABLE, PUBLICATION, SLOT, SOURCE_SCHEMA

_CONNECT_TIMEOUT_S = 5
_PROGRAM = "dataflix-connector"


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column as the database has it."""

    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the database has it, and what the replication role may do with it."""

    full_identity: bool
    readable: bool
    updatable: bool
    columns: Mapping[str, ColumnFacts]


@dataclass(frozen=True, slots=True)
class PublicationFacts:
    """The publication: its tables, those that it publishes in part, whether it has every operation."""

    tables: frozenset[str]
    filtered: frozenset[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The replication slot. ``retained_bytes`` is the WAL that it keeps from being removed."""

    plugin: str
    database: str
    active_pid: int | None
    active_user: str | None
    wal_status: str | None
    retained_bytes: int
    lag_bytes: int
    confirmed_lsn: int | None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """All that the preflight looks at."""

    wal_level: str
    max_slots: int
    used_slots: int
    max_senders: int
    used_senders: int
    slot_keep_mb: int
    replication_role: bool
    publication: PublicationFacts | None
    tables: Mapping[str, TableFacts]
    slot: SlotFacts | None


Connection = psycopg.Connection[dict[str, Any]]


def connect_as_debezium(settings: Settings, program: str = _PROGRAM) -> Connection:
    """Log in as the replication role; ``program`` names the session in ``pg_stat_activity``.

    Raises:
        Fault: PostgreSQL is away or refuses the role.
    """
    return _connect(settings, settings.debezium_user, settings.debezium_password, program)


def connect_as_admin(settings: Settings) -> Connection:
    """Log in as the superuser, who may see which sessions hold a transaction open.

    Raises:
        Fault: PostgreSQL is away or refuses the role.
    """
    return _connect(settings, settings.postgres_admin_user, settings.postgres_admin_password, _PROGRAM)


def read_facts(connection: Connection) -> SourceFacts:
    """Gather every fact, in a handful of queries."""
    server = _one(connection, _SERVER)
    return SourceFacts(
        **server,
        publication=_publication(connection),
        tables={name: facts for name in (*tables(), HEARTBEAT_TABLE) if (facts := _table(connection, name))},
        slot=read_slot(connection),
    )


def read_slot(connection: Connection) -> SlotFacts | None:
    """The state of our replication slot, if there is one."""
    row = connection.execute(_SLOT_QUERY, [SLOT]).fetchone()
    return SlotFacts(**row) if row else None


def read_wal_position(connection: Connection) -> int:
    """The position up to which WAL is written now."""
    return int(_one(connection, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS position")["position"])


def _connect(settings: Settings, user: str, password: SecretStr, program: str) -> Connection:
    try:
        return psycopg.connect(
            **parameters(
                settings.postgres_server,
                user,
                password,
                program=program,
                connect_seconds=_CONNECT_TIMEOUT_S,
                database=settings.postgres_db,
            ),
            autocommit=True,
            row_factory=dict_row,
        )
    except psycopg.OperationalError as error:
        raise Fault(
            f"cannot log in to PostgreSQL as {user}: {str(error).strip()}\n"
            "is PostgreSQL running, did dataflix-migrate run, are host, port and password in .env right?"
        ) from error


def _one(connection: Connection, query: LiteralString) -> dict[str, Any]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise Fault("PostgreSQL answered nothing where one row was expected")
    return row


def _publication(connection: Connection) -> PublicationFacts | None:
    row = connection.execute(_PUBLICATION_QUERY, [PUBLICATION]).fetchone()
    if row is None:
        return None
    return PublicationFacts(frozenset(row["tables"]), frozenset(row["filtered"]), row["complete"])


def _table(connection: Connection, name: str) -> TableFacts | None:
    row = connection.execute(_TABLE_QUERY, {"schema": SOURCE_SCHEMA, "name": name}).fetchone()
    if row is None:
        return None
    columns = connection.execute(_COLUMNS_QUERY, {"schema": SOURCE_SCHEMA, "name": name}).fetchall()
    return TableFacts(
        **row,
        columns={column["name"]: ColumnFacts(column["type"], column["nullable"]) for column in columns},
    )


_SERVER: LiteralString = """
    SELECT current_setting('wal_level') AS wal_level,
           current_setting('max_replication_slots')::int AS max_slots,
           (SELECT count(*) FROM pg_replication_slots)::int AS used_slots,
           current_setting('max_wal_senders')::int AS max_senders,
           (SELECT count(*) FROM pg_stat_replication)::int AS used_senders,
           (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_keep_mb,
           (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
               AS replication_role
"""
_PUBLICATION_QUERY: LiteralString = """
    SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AS complete,
           coalesce(array_agg(t.schemaname || '.' || t.tablename)
               FILTER (WHERE t.tablename IS NOT NULL), '{}') AS tables,
           coalesce(array_agg(t.schemaname || '.' || t.tablename)
               FILTER (WHERE t.rowfilter IS NOT NULL OR r.prattrs IS NOT NULL), '{}') AS filtered
    FROM pg_publication p
    LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname
    LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
        AND r.prrelid = format('%%I.%%I', t.schemaname, t.tablename)::regclass
    WHERE p.pubname = %s
    GROUP BY p.oid, p.pubinsert, p.pubupdate, p.pubdelete
"""
_TABLE_QUERY: LiteralString = """
    SELECT c.relreplident = 'f' AS full_identity,
           has_table_privilege(c.oid, 'SELECT') AS readable,
           has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE') AS updatable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p')
"""
_COLUMNS_QUERY: LiteralString = """
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_SLOT_QUERY: LiteralString = """
    SELECT s.plugin, s.database, s.active_pid, a.usename AS active_user, s.wal_status,
           coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint AS retained_bytes,
           coalesce(pg_current_wal_lsn() - s.confirmed_flush_lsn, 0)::bigint AS lag_bytes,
           (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint AS confirmed_lsn
    FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
    WHERE s.slot_name = %s
"""
