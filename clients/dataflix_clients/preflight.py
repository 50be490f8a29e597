"""Judge whether the source can be captured, and how it differs from the contract; findings say what to do.

The preflight asks before the connector is registered, the status asks the same while it runs, and
``dataflix-migrate`` asks about the tables.
"""

import enum
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dataflix_clients.replication_slot import (
    KEEP_WAL_CURE,
    RESNAPSHOT_CURE,
    SLOT_SUBJECT,
    SlotFacts,
    SlotState,
    slot_health,
)
from dataflix_clients.source_facts import MissingFacts, SourceFacts, TableFacts
from dataflix_contract import Column, Settings, Table, tables
from dataflix_contract.schema import HEARTBEAT_TABLE, PUBLICATION, SLOT, SOURCE_SCHEMA, published_tables

#: Programs that several cures name.
_MIGRATE, _RECONCILE = "run dataflix-migrate", "bin/dataflix-reconcile"
# A finished migration does not run again, so it does not recreate what was dropped later.
_RESTORE = "if it was dropped after that, restore it from a backup"
_PLUGIN = "pgoutput"


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
    def is_cured_by_resnapshot(self) -> bool:
        """Whether a new snapshot is the cure, so that this finding must not keep one from being taken."""
        return self.cure == RESNAPSHOT_CURE

    @property
    def text(self) -> str:
        """The finding in one line."""
        return f"{self.subject} {self.problem}: {self.cure}"


def faults(findings: Iterable[Finding]) -> list[Finding]:
    """Those findings that keep capturing from working."""
    return [finding for finding in findings if finding.level is Level.FAULT]


def fault(subject: str, problem: str, cure: str) -> Finding:
    """A finding that keeps capturing from working."""
    return Finding(Level.FAULT, subject, problem, cure)


def warning(subject: str, problem: str, cure: str) -> Finding:
    """A finding that somebody should look at although capturing works."""
    return Finding(Level.WARNING, subject, problem, cure)


def judge(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """Everything that is wrong with the source and the slot; nothing when it can be captured."""
    return [*judge_source(facts, settings), *_judge_slot(facts.slot)]


def judge_source(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """What is wrong with server, publication and tables, and whose slot it is."""
    return [
        *_judge_server(facts, settings),
        *_judge_publication(facts),
        *_judge_sessions(facts),
        *_judge_heartbeat(facts, settings),
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
            f"{_MIGRATE}, or ALTER ROLE {settings.debezium_user} REPLICATION",
        )


def _judge_sessions(facts: SourceFacts) -> Iterator[Finding]:
    for statement in facts.replica_role_by:
        reload = " and SELECT pg_reload_conf()" if statement == "ALTER SYSTEM" else ""
        yield warning(
            "session_replication_role",
            f"is replica by {statement} SET: triggers and foreign keys are off in the sessions it is for",
            f"as the superuser {statement} RESET session_replication_role{reload}; then let programs connect"
            f" anew (./stop.sh and ./run.sh), and {_RECONCILE} counts the rows that lack their user or film",
        )


def _judge_publication(facts: SourceFacts) -> Iterator[Finding]:
    subject = f"publication {PUBLICATION}"
    publication = facts.publication
    if publication is None:
        yield fault(subject, "does not exist", f"{_MIGRATE}; {_make_anew(facts)}")
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
    """What to do about a publication that was dropped or renamed: PostgreSQL cannot decode older changes.

    It has to belong to the owner of the tables, who alters it in later migrations.
    """
    options = " WITH (publish_via_partition_root = true)" if _partitioned(facts) else ""
    return (
        f"if it was dropped after that, as the owner of the tables: CREATE PUBLICATION {PUBLICATION}"
        f" FOR TABLE {', '.join(published_tables())}{options}, then {RESNAPSHOT_CURE}"
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
    """Judge the slot before a registration; one about to be lost is a warning only: reading it saves it."""
    health = slot_health(slot)
    if health.state is SlotState.LOST:
        yield fault(SLOT_SUBJECT, health.problem, RESNAPSHOT_CURE)
    elif health.state is SlotState.ENDANGERED:
        yield warning(SLOT_SUBJECT, health.problem, KEEP_WAL_CURE)


def judge_tables(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """What is wrong with the tables of the contract."""
    return [finding for table in tables().values() for finding in _judge_table(table, facts, settings)]


def _judge_table(table: Table, facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    name = f"{SOURCE_SCHEMA}.{table.name}"
    found = facts.tables.get(table.name)
    if found is None:
        yield _missing_table(table.name, facts)
        return
    if not found.readable:
        role = settings.debezium_user
        yield fault(f"table {name}", f"role {role} may not read it", f"GRANT SELECT ON {name} TO {role}")
    # Each partition has an identity of its own, which counts for its rows.
    for holder, full in {name: found.full_identity, **found.partitions}.items():
        if not full:
            yield fault(
                f"table {holder}",
                "its replica identity is not FULL: old values and large unchanged ones do not arrive",
                f"ALTER TABLE {holder} REPLICA IDENTITY FULL",
            )
    if found.children:
        yield fault(
            f"table {name}",
            f"has children by inheritance ({', '.join(sorted(found.children))}): their rows are not captured,"
            " and queries of this table show them",
            f"{'; '.join(f'ALTER TABLE {child} NO INHERIT {name}' for child in found.children)}; before that,"
            f" insert into {name} the rows that belong there",
        )
    if found.foreign_keys_off:
        yield warning(
            f"table {name}",
            "has disabled triggers that enforce foreign keys, as a restore that was broken off leaves it",
            f"as the superuser ALTER TABLE {name} ENABLE TRIGGER ALL; then {_RECONCILE} counts the rows that"
            " lack their user or film",
        )
    if found.key != table.key:
        same_columns = set(found.key) == set(table.key)
        yield (warning if same_columns else fault)(
            f"table {name}",
            f"has {_key(found.key)}, and {_key(table.key)} in the contract"
            + ("" if same_columns else ": changes would have another key"),
            f"ALTER TABLE {name} ADD PRIMARY KEY ({', '.join(table.key)}), after dropping another one",
        )
    yield from _judge_columns(table, found)


def _judge_heartbeat(facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    """What is wrong with the heartbeat's table, which is not in the contract."""
    subject = f"table {SOURCE_SCHEMA}.{HEARTBEAT_TABLE}"
    table = facts.tables.get(HEARTBEAT_TABLE)
    if table is None:
        yield _missing_table(HEARTBEAT_TABLE, facts, ": an idle database would keep all its WAL")
    elif not (table.readable and table.updatable):
        yield fault(
            subject,
            f"role {settings.debezium_user} may not read and update it",
            f"GRANT SELECT, UPDATE ON {SOURCE_SCHEMA}.{HEARTBEAT_TABLE} TO {settings.debezium_user}",
        )


def _missing_table(name: str, facts: SourceFacts, consequence: str = "") -> Finding:
    """A table that is not there: perhaps it was renamed, or another relation was put in its place."""
    missing = facts.missing.get(name, MissingFacts())
    full_name = f"{SOURCE_SCHEMA}.{name}"
    ways_back = []
    for table in missing.alike:
        steps = [f"DROP {missing.instead} {full_name}"] if missing.instead else []
        if table.schema != SOURCE_SCHEMA:
            steps.append(f"ALTER TABLE {table.full_name} SET SCHEMA {SOURCE_SCHEMA}")
        if table.name != name:
            steps.append(f"ALTER TABLE {SOURCE_SCHEMA}.{table.name} RENAME TO {name}")
        ways_back.append("; ".join(steps))
    renamed = f"if it was renamed, {' or '.join(ways_back)}, then {_RECONCILE}; " if ways_back else ""
    problem = f"is a {missing.instead.lower()} and no table" if missing.instead else "does not exist"
    return fault(
        f"table {full_name}",
        f"{problem}{consequence}",
        f"{renamed}if it was never made, {_MIGRATE}; {_RESTORE}" if renamed else f"{_MIGRATE}; {_RESTORE}",
    )


def _key(columns: Sequence[str]) -> str:
    return f"the primary key ({', '.join(columns)})" if columns else "no primary key"


def _judge_columns(table: Table, found: TableFacts) -> Iterator[Finding]:
    for column in table.columns.values():
        subject = f"column {SOURCE_SCHEMA}.{table.name}.{column.name}"
        facts = found.columns.get(column.name)
        if facts is None:
            cure = _missing_cure(table, found, column)
            yield fault(subject, "is in the contract and not in the database", cure)
        elif not column.type.is_spelt(facts.type):
            yield fault(
                subject,
                f"is {facts.type}, and {column.type.value} in the contract",
                "make the two agree: by a migration, or in tables.toml",
            )
        elif facts.generated:
            yield fault(
                subject,
                "is generated: PostgreSQL does not publish its values",
                "store it as an ordinary column, or take it out of tables.toml",
            )
        elif facts.nullable and not column.nullable:
            yield warning(
                subject,
                "may be NULL in the database and not in the contract",
                "ALTER COLUMN … SET NOT NULL, or nullable = true in tables.toml",
            )
    for name in found.columns.keys() - table.columns.keys():
        yield warning(
            f"column {SOURCE_SCHEMA}.{table.name}.{name}",
            "is not in the contract: it is not forwarded (drift)",
            "decide on its class of personal data and add it to tables.toml",
        )


def _missing_cure(table: Table, found: TableFacts, column: Column) -> str:
    """What to do about a column that is not there: perhaps it was renamed to one that the contract lacks."""
    renamed = [
        f"ALTER TABLE {SOURCE_SCHEMA}.{table.name} RENAME COLUMN {name} TO {column.name}"
        for name, facts in sorted(found.columns.items())
        if name not in table.columns and column.type.is_spelt(facts.type)
    ]
    other = f"if it was never made, {_MIGRATE}; if nobody needs it, take it out of tables.toml"
    return f"if it was renamed, {' or '.join(renamed)}; {other}" if renamed else other
