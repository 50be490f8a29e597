"""What PostgreSQL says about a source that is fit to be captured, and the same with one thing changed."""

import dataclasses
from typing import Any

from dataflix_clients.replication_slot import SlotFacts
from dataflix_clients.source_facts import ColumnFacts, PublicationFacts, SourceFacts, TableFacts
from dataflix_contract import tables

DATABASE_TYPES = {"timestamptz": "timestamp with time zone"}
ALL = frozenset({*(f"public.{name}" for name in tables()), "public.debezium_heartbeat"})
SLOT = SlotFacts("pgoutput", "dataflix_db", 77, "debezium", "reserved", 1000, 10, 5000)


def sound_table(name: str) -> TableFacts:
    columns = {
        column.name: ColumnFacts(DATABASE_TYPES.get(column.type.value, column.type.value), column.nullable)
        for column in tables()[name].columns.values()
    }
    return TableFacts(
        full_identity=True,
        readable=True,
        updatable=False,
        columns=columns,
        key=tables()[name].key,
    )


HEARTBEAT = TableFacts(full_identity=False, readable=True, updatable=True, columns={}, key=("id",))
SOUND = SourceFacts(
    wal_level="logical",
    max_slots=10,
    used_slots=1,
    max_senders=10,
    used_senders=1,
    slot_keep_mb=4096,
    replication_role=True,
    publication=PublicationFacts(ALL, ALL, frozenset(), complete=True),
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
