"""What the preflight says about a source, from facts alone."""

import dataclasses
from typing import Any

import pytest

from dataflix_connectors.preflight import Finding, Level, faults, judge
from dataflix_connectors.source import ColumnFacts, PublicationFacts, SlotFacts, SourceFacts, TableFacts
from dataflix_contract import Settings, tables

SETTINGS = Settings()
DATABASE_TYPES = {"timestamptz": "timestamp with time zone"}
ALL = frozenset({*(f"public.{name}" for name in tables()), "public.debezium_heartbeat"})
SLOT = SlotFacts("pgoutput", "dataflix_db", 77, "debezium", "reserved", 1000, 10, 5000)


def sound_table(name: str) -> TableFacts:
    columns = {
        column.name: ColumnFacts(DATABASE_TYPES.get(column.type.value, column.type.value), column.nullable)
        for column in tables()[name].columns.values()
    }
    return TableFacts(full_identity=True, readable=True, updatable=False, columns=columns)


HEARTBEAT = TableFacts(full_identity=False, readable=True, updatable=True, columns={})
SOUND = SourceFacts(
    wal_level="logical",
    max_slots=10,
    used_slots=1,
    max_senders=10,
    used_senders=1,
    slot_keep_mb=4096,
    replication_role=True,
    publication=PublicationFacts(ALL, frozenset(), complete=True),
    tables={**{name: sound_table(name) for name in tables()}, "debezium_heartbeat": HEARTBEAT},
    slot=SLOT,
)


def with_table(name: str, **changes: Any) -> SourceFacts:
    table = dataclasses.replace(SOUND.tables[name], **changes)
    return dataclasses.replace(SOUND, tables={**SOUND.tables, name: table})


def with_column(name: str, facts: ColumnFacts) -> SourceFacts:
    return with_table("users", columns={**SOUND.tables["users"].columns, name: facts})


def without_table(name: str) -> SourceFacts:
    return dataclasses.replace(SOUND, tables={k: v for k, v in SOUND.tables.items() if k != name})


def with_publication(**changes: Any) -> SourceFacts:
    assert SOUND.publication is not None
    return dataclasses.replace(SOUND, publication=dataclasses.replace(SOUND.publication, **changes))


def with_slot(**changes: Any) -> SourceFacts:
    return dataclasses.replace(SOUND, slot=dataclasses.replace(SLOT, **changes))


def only_finding(facts: SourceFacts) -> Finding:
    [finding] = judge(facts, SETTINGS)
    return finding


def test_a_sound_source_has_no_findings() -> None:
    assert judge(SOUND, SETTINGS) == []
    assert judge(dataclasses.replace(SOUND, slot=None), SETTINGS) == []


@pytest.mark.parametrize(
    ("facts", "subject", "cure"),
    [
        (dataclasses.replace(SOUND, wal_level="replica"), "wal_level", "restart PostgreSQL"),
        (dataclasses.replace(SOUND, slot=None, used_slots=10), "max_replication_slots", "drop a slot"),
        (dataclasses.replace(SOUND, slot=None, used_senders=10), "max_wal_senders", "pg_stat_replication"),
        (dataclasses.replace(SOUND, replication_role=False), "role debezium", "REPLICATION"),
        (dataclasses.replace(SOUND, publication=None), "publication dataflix", "dataflix-migrate"),
        (with_publication(tables=ALL - {"public.users"}), "publication dataflix", "ADD TABLE public.users"),
        (with_publication(tables=ALL | {"public.x"}), "publication dataflix", "DROP TABLE public.x"),
        (with_publication(filtered=frozenset({"public.users"})), "publication dataflix", "SET TABLE"),
        (with_publication(complete=False), "publication dataflix", "insert, update, delete"),
        (without_table("debezium_heartbeat"), "table public.debezium_heartbeat", "dataflix-migrate"),
        (with_table("debezium_heartbeat", updatable=False), "table public.debezium_heartbeat", "UPDATE"),
        (without_table("ratings"), "table public.ratings", "dataflix-migrate"),
        (with_table("ratings", readable=False), "table public.ratings", "GRANT SELECT"),
        (with_table("ratings", full_identity=False), "table public.ratings", "REPLICA IDENTITY FULL"),
        (with_column("name", ColumnFacts("bytea", nullable=True)), "column public.users.name", "agree"),
        (with_slot(plugin="wal2json"), "slot dataflix", "pg_drop_replication_slot"),
        (with_slot(database="other"), "slot dataflix", "pg_drop_replication_slot"),
        (with_slot(active_user="somebody"), "slot dataflix", "stop that reader"),
        (with_slot(wal_status="lost"), "slot dataflix", "dataflix-connector resnapshot"),
    ],
)
def test_each_fault_is_named_with_its_cure(facts: SourceFacts, subject: str, cure: str) -> None:
    finding = only_finding(facts)
    assert finding.level is Level.FAULT
    assert finding.subject == subject
    assert cure in finding.cure


@pytest.mark.parametrize(
    ("facts", "subject"),
    [
        (dataclasses.replace(SOUND, slot_keep_mb=-1), "max_slot_wal_keep_size"),
        (with_column("phone", ColumnFacts("text", nullable=True)), "column public.users.phone"),
        (
            with_column("created_at", ColumnFacts("timestamptz", nullable=True)),
            "column public.users.created_at",
        ),
        (with_slot(wal_status="unreserved"), "slot dataflix"),
    ],
)
def test_what_still_works_is_a_warning(facts: SourceFacts, subject: str) -> None:
    assert only_finding(facts).subject == subject
    assert faults(judge(facts, SETTINGS)) == []


def test_a_missing_column_is_a_fault() -> None:
    columns = {name: facts for name, facts in SOUND.tables["users"].columns.items() if name != "email"}
    assert only_finding(with_table("users", columns=columns)).problem == (
        "is in the contract and not in the database"
    )


def test_varying_text_is_text() -> None:
    assert judge(with_column("name", ColumnFacts("character varying(80)", nullable=True)), SETTINGS) == []


def test_only_a_lost_slot_does_not_refuse_a_resnapshot() -> None:
    assert only_finding(with_slot(wal_status="lost")).is_lost_slot
    assert not only_finding(with_slot(plugin="wal2json")).is_lost_slot
