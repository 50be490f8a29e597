"""Is the source fit to be captured? Judgements over facts: each fault with its cure."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from dataflix_connectors.config import published_tables
from dataflix_connectors.slot import RESNAPSHOT_CURE, SlotState, slot_health
from dataflix_connectors.source import PublicationFacts, SlotFacts, SourceFacts, TableFacts
from dataflix_contract import Settings, Table, tables
from dataflix_contract.schema import HEARTBEAT_TABLE, PUBLICATION, SLOT, SOURCE_SCHEMA

_PLUGIN = "pgoutput"
_MIGRATE = "run dataflix-migrate"


class Level(enum.Enum):
    """How bad a finding is."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be, and what to do about it."""

    level: Level
    subject: str
    problem: str
    cure: str

    @property
    def is_lost_slot(self) -> bool:
        """Whether a new snapshot is the cure, so that it must not be refused for this."""
        return self.cure == RESNAPSHOT_CURE


def judge(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """Everything that is wrong with the source; nothing when it can be captured."""
    return [
        *_judge_server(facts, settings),
        *_judge_publication(facts.publication),
        *_judge_heartbeat(facts.tables.get(HEARTBEAT_TABLE), settings),
        *(finding for table in tables().values() for finding in _judge_table(table, facts, settings)),
        *_judge_slot(facts.slot, settings),
    ]


def faults(findings: list[Finding]) -> list[Finding]:
    """Those findings with which capturing cannot work."""
    return [finding for finding in findings if finding.level is Level.FAULT]


def _fault(subject: str, problem: str, cure: str) -> Finding:
    return Finding(Level.FAULT, subject, problem, cure)


def _warning(subject: str, problem: str, cure: str) -> Finding:
    return Finding(Level.WARNING, subject, problem, cure)


def _judge_server(facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    if facts.wal_level != "logical":
        yield _fault(
            "wal_level",
            f"is {facts.wal_level}: the WAL holds no row changes",
            "set wal_level = logical in postgresql.conf and restart PostgreSQL",
        )
    if facts.slot is None and facts.used_slots >= facts.max_slots:
        yield _fault(
            "max_replication_slots",
            f"all {facts.max_slots} are in use",
            "drop a slot that nobody reads (pg_replication_slots), or raise it and restart PostgreSQL",
        )
    streaming = facts.slot is not None and facts.slot.active_pid is not None
    if not streaming and facts.used_senders >= facts.max_senders:
        yield _fault(
            "max_wal_senders",
            f"all {facts.max_senders} are in use",
            "end a replication that nobody needs (pg_stat_replication), or raise it and restart PostgreSQL",
        )
    if facts.slot_keep_mb < 0:
        yield _warning(
            "max_slot_wal_keep_size",
            "is unlimited: a connector that stays away fills the disk with WAL",
            "set it to what the disk can spare, such as 4GB, and reload",
        )
    if not facts.replication_role:
        yield _fault(
            f"role {settings.debezium_user}",
            "has not the REPLICATION attribute",
            f"{_MIGRATE}, or ALTER ROLE {settings.debezium_user} REPLICATION",
        )


def _judge_publication(publication: PublicationFacts | None) -> Iterator[Finding]:
    subject = f"publication {PUBLICATION}"
    if publication is None:
        yield _fault(subject, "does not exist", _MIGRATE)
        return
    wanted = frozenset(published_tables())
    if missing := wanted - publication.tables:
        names = ", ".join(sorted(missing))
        yield _fault(
            subject, f"does not publish {names}", f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {names}"
        )
    if surplus := publication.tables - wanted:
        names = ", ".join(sorted(surplus))
        yield _fault(
            subject,
            f"publishes {names}, which nobody reads",
            f"ALTER PUBLICATION {PUBLICATION} DROP TABLE {names}, or add it to the contract",
        )
    if publication.filtered:
        names = ", ".join(sorted(publication.filtered))
        yield _fault(
            subject,
            f"publishes {names} with a row filter or a column list",
            f"ALTER PUBLICATION {PUBLICATION} SET TABLE {', '.join(published_tables())}",
        )
    if not publication.complete:
        yield _fault(
            subject,
            "leaves out inserts, updates or deletes",
            f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert, update, delete, truncate')",
        )


def _judge_heartbeat(table: TableFacts | None, settings: Settings) -> Iterator[Finding]:
    subject = f"table {SOURCE_SCHEMA}.{HEARTBEAT_TABLE}"
    if table is None:
        yield _fault(subject, "does not exist: an idle database would keep all its WAL", _MIGRATE)
    elif not (table.readable and table.updatable):
        yield _fault(
            subject,
            f"role {settings.debezium_user} may not read and update it",
            f"GRANT SELECT, UPDATE ON {SOURCE_SCHEMA}.{HEARTBEAT_TABLE} TO {settings.debezium_user}",
        )


def _judge_table(table: Table, facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    name = f"{SOURCE_SCHEMA}.{table.name}"
    found = facts.tables.get(table.name)
    if found is None:
        yield _fault(f"table {name}", "does not exist", _MIGRATE)
        return
    if not found.readable:
        role = settings.debezium_user
        yield _fault(f"table {name}", f"role {role} may not read it", f"GRANT SELECT ON {name} TO {role}")
    if not found.full_identity:
        yield _fault(
            f"table {name}",
            "its replica identity is not FULL: old values and large unchanged ones do not arrive",
            f"ALTER TABLE {name} REPLICA IDENTITY FULL",
        )
    yield from _judge_columns(table, found)


def _judge_columns(table: Table, found: TableFacts) -> Iterator[Finding]:
    for column in table.columns.values():
        subject = f"column {SOURCE_SCHEMA}.{table.name}.{column.name}"
        facts = found.columns.get(column.name)
        if facts is None:
            yield _fault(subject, "is in the contract and not in the database", f"{_MIGRATE}, or take it out")
        elif _contract_type(facts.type) != column.type.value:
            yield _fault(
                subject,
                f"is {facts.type}, and {column.type.value} in the contract",
                "make the two agree: by a migration, or in tables.toml",
            )
        elif facts.nullable and not column.nullable:
            yield _warning(
                subject,
                "may be NULL in the database and not in the contract",
                "ALTER COLUMN … SET NOT NULL, or nullable = true in tables.toml",
            )
    for name in found.columns.keys() - table.columns.keys():
        yield _warning(
            f"column {SOURCE_SCHEMA}.{table.name}.{name}",
            "is not in the contract: it is not forwarded (drift)",
            "decide on its class of personal data and add it to tables.toml",
        )


def _judge_slot(slot: SlotFacts | None, settings: Settings) -> Iterator[Finding]:
    if slot is None:
        return
    subject = f"slot {SLOT}"
    if slot.plugin != _PLUGIN or slot.database != settings.postgres_db:
        yield _fault(
            subject,
            f"belongs to database {slot.database} and plugin {slot.plugin}",
            f"it is not ours: if nobody needs it, SELECT pg_drop_replication_slot('{SLOT}')",
        )
    if slot.active_user not in (None, settings.debezium_user):
        yield _fault(
            subject,
            f"is read by {slot.active_user} (pid {slot.active_pid})",
            "stop that reader: a slot serves one only",
        )
    health = slot_health(slot)
    if health.state is SlotState.LOST:
        yield _fault(subject, health.problem, RESNAPSHOT_CURE)
    elif health.state is SlotState.ENDANGERED:
        yield _warning(subject, health.problem, "start the connector, or raise max_slot_wal_keep_size")


def _contract_type(database_type: str) -> str:
    if database_type.startswith("character varying"):
        return "text"
    return {"timestamp with time zone": "timestamptz"}.get(database_type, database_type)
