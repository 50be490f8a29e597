"""Is the source fit to be captured? Judgements over facts: each fault with its cure.

The preflight asks before the connector is registered, and the status asks the same while it runs.
"""

from collections.abc import Collection, Iterator

from dataflix_clients.contract_drift import judge_heartbeat, judge_tables
from dataflix_clients.findings import MIGRATE, RECONCILE, Finding, fault, warning
from dataflix_clients.replication_slot import (
    KEEP_WAL_CURE,
    RESNAPSHOT_CURE,
    SLOT_SUBJECT,
    SlotFacts,
    SlotState,
    slot_health,
)
from dataflix_clients.source_facts import SourceFacts
from dataflix_contract import Settings
from dataflix_contract.schema import PUBLICATION, SLOT, SOURCE_SCHEMA, published_tables

_PLUGIN = "pgoutput"


def judge(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """Everything that is wrong with the source and the slot; nothing when it can be captured."""
    return [*judge_source(facts, settings), *_judge_slot(facts.slot)]


def judge_source(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """What is wrong with server, publication and tables, and whose slot it is."""
    return [
        *_judge_server(facts, settings),
        *_judge_publication(facts),
        *_judge_sessions(facts),
        *judge_heartbeat(facts, settings),
        *judge_tables(facts, settings),
        *_judge_owner(facts.slot, settings),
    ]


def _judge_server(facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    if facts.wal_level != "logical":
        yield fault(
            "wal_level",
            f"is {facts.wal_level}: the WAL holds no row changes",
            "set wal_level = logical in postgresql.conf and restart PostgreSQL",
        )
    if facts.slot is None and facts.used_slots >= facts.max_slots:
        yield fault(
            "max_replication_slots",
            f"all {facts.max_slots} are in use",
            "drop a slot that nobody reads (pg_replication_slots), or raise it and restart PostgreSQL",
        )
    streaming = facts.slot is not None and facts.slot.active_pid is not None
    if not streaming and facts.used_senders >= facts.max_senders:
        yield fault(
            "max_wal_senders",
            f"all {facts.max_senders} are in use",
            "end a replication that nobody needs (pg_stat_replication), or raise it and restart PostgreSQL",
        )
    if facts.slot_keep_mb < 0:
        yield warning(
            "max_slot_wal_keep_size",
            "is unlimited: a connector that stays away fills the disk with WAL",
            "set it to what the disk can spare, such as 4GB, and reload",
        )
    if not facts.replication_role:
        yield fault(
            f"role {settings.debezium_user}",
            "lacks the REPLICATION attribute",
            f"{MIGRATE}, or ALTER ROLE {settings.debezium_user} REPLICATION",
        )


def _judge_sessions(facts: SourceFacts) -> Iterator[Finding]:
    for statement in facts.replica_role_by:
        reload = " and SELECT pg_reload_conf()" if statement == "ALTER SYSTEM" else ""
        yield warning(
            "session_replication_role",
            f"is replica by {statement} SET: triggers and foreign keys are off in the sessions it is for",
            f"as the superuser {statement} RESET session_replication_role{reload}; then let programs connect"
            f" anew (./stop.sh and ./run.sh), and {RECONCILE} counts the rows that lack their user or film",
        )


def _judge_publication(facts: SourceFacts) -> Iterator[Finding]:
    subject = f"publication {PUBLICATION}"
    publication = facts.publication
    if publication is None:
        yield fault(subject, "does not exist", f"{MIGRATE}; {_make_anew(facts)}")
        return
    partitions = _partitions_of(facts)
    wanted = frozenset(published_tables())
    apart = {partitions[name] for name in publication.tables if name in partitions} - publication.tables
    if apart:
        yield fault(
            subject,
            f"publishes the partitions of {_listed(apart)} under their own names, which nobody reads",
            _publish(apart - publication.members, via_root=True),
        )
    absent = {f"{SOURCE_SCHEMA}.{name}" for name in facts.missing}
    if missing := wanted - publication.tables - apart - absent:
        via_root = not publication.via_root and not missing.isdisjoint(_partitioned(facts))
        yield fault(subject, f"does not publish {_listed(missing)}", _publish(missing, via_root=via_root))
    renamed = {table.full_name for missing in facts.missing.values() for table in missing.alike}
    if surplus := publication.tables - wanted - partitions.keys() - renamed:
        yield fault(
            subject,
            f"publishes {_listed(surplus)}, which nobody reads",
            f"ALTER PUBLICATION {PUBLICATION} DROP TABLE {_listed(surplus)}, or add it to the contract",
        )
    if publication.filtered:
        yield fault(
            subject,
            f"publishes {_listed(publication.filtered)} with a row filter or a column list",
            f"ALTER PUBLICATION {PUBLICATION} SET TABLE {', '.join(published_tables())}",
        )
    if not publication.complete:
        yield fault(
            subject,
            "leaves out inserts, updates, deletes or truncates",
            f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert, update, delete, truncate')",
        )


def _make_anew(facts: SourceFacts) -> str:
    """What to do about a publication that was dropped or renamed: PostgreSQL cannot decode older changes."""
    options = " WITH (publish_via_partition_root = true)" if _partitioned(facts) else ""
    return (
        f"if it was dropped after that, CREATE PUBLICATION {PUBLICATION} FOR TABLE"
        f" {', '.join(published_tables())}{options}, then {RESNAPSHOT_CURE}"
    )


def _partitions_of(facts: SourceFacts) -> dict[str, str]:
    """The partitioned table of each partition, by their names."""
    return {
        partition: f"{SOURCE_SCHEMA}.{name}"
        for name, table in facts.tables.items()
        for partition in table.partitions
    }


def _partitioned(facts: SourceFacts) -> set[str]:
    return {f"{SOURCE_SCHEMA}.{name}" for name, table in facts.tables.items() if table.partitioned}


def _publish(names: Collection[str], *, via_root: bool) -> str:
    """How to publish these tables, partitioned ones under their own names."""
    statements = [f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {_listed(names)}"] if names else []
    if via_root:
        statements.append(f"ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = true)")
    return "; ".join(statements)


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _judge_owner(slot: SlotFacts | None, settings: Settings) -> Iterator[Finding]:
    if slot is None:
        return
    if slot.plugin != _PLUGIN or slot.database != settings.postgres_db:
        yield fault(
            SLOT_SUBJECT,
            f"belongs to database {slot.database} and plugin {slot.plugin}",
            f"it is not ours: if nobody needs it, SELECT pg_drop_replication_slot('{SLOT}')",
        )
    if slot.active_user not in (None, settings.debezium_user):
        yield fault(
            SLOT_SUBJECT,
            f"is read by {slot.active_user} (pid {slot.active_pid})",
            "stop that reader: a slot serves one only",
        )


def _judge_slot(slot: SlotFacts | None) -> Iterator[Finding]:
    """The slot before a registration: one that is about to be lost is saved by reading it."""
    health = slot_health(slot)
    if health.state is SlotState.LOST:
        yield fault(SLOT_SUBJECT, health.problem, RESNAPSHOT_CURE)
    elif health.state is SlotState.ENDANGERED:
        yield warning(SLOT_SUBJECT, health.problem, KEEP_WAL_CURE)
