"""Read what PostgreSQL says about publication, tables, roles and slot, for preflight and status to judge.

Nothing is judged here, so that all judging can be tested without a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from dataflix_clients.replication_slot import SlotFacts, read_slot
from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault
from dataflix_contract.postgres_sessions import REAL_TYPE
from dataflix_contract.schema import HEARTBEAT_TABLE, PUBLICATION, SOURCE_SCHEMA


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column as the database has it. PostgreSQL 15 does not publish the values of a generated one."""

    type: str
    nullable: bool
    generated: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the database has it, and what the replication role may do with it.

    Attributes:
        key: the columns of its primary key, in its order.
        partitioned: whether its rows are kept in partitions.
        partitions: each partition that holds rows, with its schema, and whether its replica identity is FULL.
        children: the tables that inherit from it and are no partitions, with their schemas.
        foreign_keys_off: whether triggers that enforce foreign keys are disabled.
    """

    full_identity: bool
    readable: bool
    updatable: bool
    columns: Mapping[str, ColumnFacts]
    key: tuple[str, ...]
    partitioned: bool = False
    partitions: Mapping[str, bool] = field(default_factory=dict)
    children: tuple[str, ...] = ()
    foreign_keys_off: bool = False


@dataclass(frozen=True, slots=True)
class SimilarTable:
    """A table with all columns of one that is missing; both names are quoted where SQL needs that."""

    schema: str
    name: str

    @property
    def full_name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class MissingFacts:
    """What was found instead of a table that does not exist under its name.

    Attributes:
        instead: what else has its name, in SQL's words, such as VIEW; empty: nothing has.
        alike: the published tables that have all of its columns, or else all tables that have them.
    """

    instead: str = ""
    alike: tuple[SimilarTable, ...] = ()


@dataclass(frozen=True, slots=True)
class PublicationFacts:
    """The publication.

    Attributes:
        tables: the names under which rows are published; a partition's own, unless ``via_root`` is set.
        members: the tables that were added to it.
        filtered: those that it publishes in part.
        complete: whether it publishes inserts, updates, deletes and truncates.
        via_root: whether rows of a partition are published under the name of the partitioned table.
    """

    tables: frozenset[str]
    members: frozenset[str]
    filtered: frozenset[str]
    complete: bool
    via_root: bool = False


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """All that PostgreSQL knows about the capture.

    Attributes:
        missing: the tables of the contract that do not exist.
        replica_role_by: the beginnings of the statements that have set ``session_replication_role`` to
            ``replica`` for more than one session, such as ``ALTER DATABASE dataflix_db``.
    """

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
    missing: Mapping[str, MissingFacts] = field(default_factory=dict)
    replica_role_by: tuple[str, ...] = ()


Cursor = psycopg.Cursor[dict[str, Any]]


def read_facts(connection: psycopg.Connection[Any], settings: Settings) -> SourceFacts:
    """Gather every fact, in a handful of queries.

    Any role may ask: what the replication role may do is asked about by its name.
    """
    columns = {name: list(table.columns) for name, table in tables().items()} | {HEARTBEAT_TABLE: _HEARTBEAT}
    with connection.cursor(row_factory=dict_row) as cursor:
        server = _the_row(cursor.execute(_SERVER, {"role": settings.debezium_user}))
        found = {name: _table(cursor, name, settings.debezium_user) for name in columns}
        return SourceFacts(
            **server,
            publication=_publication(cursor),
            tables={name: facts for name, facts in found.items() if facts},
            slot=read_slot(connection),
            missing={name: _missing(cursor, name, columns) for name, facts in found.items() if not facts},
            replica_role_by=tuple(row["statement"] for row in cursor.execute(_REPLICA_ROLE)),
        )


def _the_row(cursor: Cursor) -> dict[str, Any]:
    row = cursor.fetchone()
    if row is None:
        raise Fault("PostgreSQL answered nothing where one row was expected")
    return row


def _publication(cursor: Cursor) -> PublicationFacts | None:
    row = cursor.execute(_PUBLICATION_QUERY, [PUBLICATION]).fetchone()
    if row is None:
        return None
    return PublicationFacts(
        frozenset(row["tables"]),
        frozenset(row["members"]),
        frozenset(row["filtered"]),
        row["complete"],
        row["via_root"],
    )


def _table(cursor: Cursor, name: str, role: str) -> TableFacts | None:
    row = cursor.execute(_TABLE_QUERY, {"schema": SOURCE_SCHEMA, "name": name, "role": role}).fetchone()
    if row is None:
        return None
    oid, key = row.pop("oid"), row.pop("key")
    columns = cursor.execute(_COLUMNS_QUERY, [oid]).fetchall()
    partitions = cursor.execute(_PARTITIONS_QUERY, [oid]).fetchall() if row["partitioned"] else []
    children = cursor.execute(_CHILDREN_QUERY, [oid]).fetchall()
    return TableFacts(
        **row,
        key=tuple(key),
        columns={column.pop("name"): ColumnFacts(**column) for column in columns},
        partitions={one["name"]: one["full_identity"] for one in partitions},
        children=tuple(one["name"] for one in children),
    )


def _missing(cursor: Cursor, name: str, columns: Mapping[str, list[str]]) -> MissingFacts:
    values = {"schema": SOURCE_SCHEMA, "name": name, "columns": columns[name], "known": list(columns)}
    instead = cursor.execute(_INSTEAD_QUERY, values).fetchone()
    alike = cursor.execute(_ALIKE_QUERY, values | {"publication": PUBLICATION}).fetchall()
    published = [one for one in alike if one["published"]]
    return MissingFacts(
        instead["kind"] if instead else "",
        tuple(SimilarTable(one["schema"], one["name"]) for one in published or alike),
    )


#: The columns of the heartbeat's table, which is not in the contract.
_HEARTBEAT = ["id", "beat_at"]

_SERVER: LiteralString = """
    SELECT current_setting('wal_level') AS wal_level,
           current_setting('max_replication_slots')::int AS max_slots,
           (SELECT count(*) FROM pg_replication_slots)::int AS used_slots,
           current_setting('max_wal_senders')::int AS max_senders,
           (SELECT count(*) FROM pg_stat_replication)::int AS used_senders,
           (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_keep_mb,
           EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s AND (rolreplication OR rolsuper))
               AS replication_role
"""
_PUBLICATION_QUERY: LiteralString = """
    SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS complete,
           p.pubviaroot AS via_root,
           coalesce(array_agg(format('%%I.%%I', t.schemaname, t.tablename))
               FILTER (WHERE t.tablename IS NOT NULL), '{}') AS tables,
           coalesce(array_agg(format('%%I.%%I', t.schemaname, t.tablename))
               FILTER (WHERE t.rowfilter IS NOT NULL OR r.prattrs IS NOT NULL), '{}') AS filtered,
           ARRAY(
               SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_publication_rel m
               JOIN pg_class c ON c.oid = m.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE m.prpubid = p.oid
           ) AS members
    FROM pg_publication p
    LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname
    LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = t.schemaname AND c.relname = t.tablename
    )
    WHERE p.pubname = %s
    GROUP BY p.oid, p.pubinsert, p.pubupdate, p.pubdelete, p.pubviaroot
"""
# Privileges are asked by the role's number: if the role does not exist, that gives NULL and no error.
_TABLE_QUERY: LiteralString = """
    SELECT c.oid, c.relreplident = 'f' AS full_identity, c.relkind = 'p' AS partitioned,
           coalesce(has_table_privilege(r.oid, c.oid, 'SELECT'), false) AS readable,
           coalesce(
               has_table_privilege(r.oid, c.oid, 'UPDATE')
               OR has_any_column_privilege(r.oid, c.oid, 'UPDATE'),
               false
           ) AS updatable,
           ARRAY(
               SELECT a.attname::text FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
               WHERE i.indrelid = c.oid AND i.indisprimary
               ORDER BY array_position(i.indkey::smallint[], a.attnum)
           ) AS key,
           EXISTS (
               SELECT FROM pg_trigger t
               WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled IN ('D', 'R')
           ) AS foreign_keys_off
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_roles r ON r.rolname = %(role)s
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p')
"""
_COLUMNS_QUERY: LiteralString = f"""
    SELECT a.attname AS name, real.type, NOT real.never_null AS nullable, a.attgenerated <> '' AS generated
    FROM pg_attribute AS a {REAL_TYPE}
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_PARTITIONS_QUERY: LiteralString = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name, c.relreplident = 'f' AS full_identity
    FROM pg_partition_tree(%s::oid) t
    JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE t.isleaf AND t.level > 0
    ORDER BY name
"""
_CHILDREN_QUERY: LiteralString = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = %s AND NOT c.relispartition
    ORDER BY name
"""
_INSTEAD_QUERY: LiteralString = """
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
           WHEN 'S' THEN 'SEQUENCE' ELSE 'TYPE' END AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s
"""
_ALIKE_QUERY: LiteralString = """
    SELECT quote_ident(n.nspname) AS schema, quote_ident(c.relname) AS name,
           EXISTS (
               SELECT FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid
               WHERE p.pubname = %(publication)s AND m.prrelid = c.oid
           ) AS published
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
      AND NOT (n.nspname = %(schema)s AND c.relname = ANY(%(known)s))
      AND cardinality(%(columns)s::text[]) = (
          SELECT count(*) FROM pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY(%(columns)s)
      )
    ORDER BY schema, name
"""
_REPLICA_ROLE: LiteralString = """
    SELECT CASE
               WHEN s.setrole <> 0 AND s.setdatabase <> 0
                   THEN format('ALTER ROLE %I IN DATABASE %I', r.rolname, current_database())
               WHEN s.setrole <> 0 THEN format('ALTER ROLE %I', r.rolname)
               WHEN s.setdatabase <> 0 THEN format('ALTER DATABASE %I', current_database())
               ELSE 'ALTER ROLE ALL'
           END AS statement
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE 'session_replication_role=replica' = ANY(lower(s.setconfig::text)::text[])
      AND (s.setdatabase = 0 OR d.datname = current_database())
    UNION ALL
    SELECT 'ALTER SYSTEM' FROM pg_settings
    WHERE name = 'session_replication_role' AND reset_val = 'replica'
      AND source IN ('configuration file', 'command line', 'environment variable')
    ORDER BY statement
"""
