"""What the preflight says about a source, from facts alone."""

import dataclasses

import pytest

from dataflix_clients.preflight import Finding, Level, faults, judge
from dataflix_clients.source_facts import (
    ColumnFacts,
    MissingFacts,
    PublicationFacts,
    SimilarTable,
    SourceFacts,
)
from dataflix_contract import Settings
from support.source_facts import (
    ALL,
    SOUND,
    with_column,
    with_publication,
    with_slot,
    with_table,
    without_table,
)

SETTINGS = Settings()


def partitioned(*published: str, members: frozenset[str] = ALL, via_root: bool = False) -> SourceFacts:
    """Ratings are kept in two partitions, of which the publication shows these names."""
    facts = with_table("ratings", partitioned=True, partitions={"public.r0": True, "public.r1": True})
    publication = PublicationFacts(
        (ALL - {"public.ratings"}) | set(published), members, frozenset(), complete=True, via_root=via_root
    )
    return dataclasses.replace(facts, publication=publication)


VIA_ROOT = "ALTER PUBLICATION dataflix SET (publish_via_partition_root = true)"


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
        (
            with_table("ratings", key=()),
            "table public.ratings",
            "ADD PRIMARY KEY (user_id, movie_id)",
        ),
        (
            with_table("ratings", partitioned=True, partitions={"public.r0": True, "public.r1": False}),
            "table public.r1",
            "ALTER TABLE public.r1 REPLICA IDENTITY FULL",
        ),
        (
            with_column("city", ColumnFacts("text", nullable=True, generated=True)),
            "column public.users.city",
            "ordinary column",
        ),
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
            with_column("created_at", ColumnFacts("timestamp with time zone", nullable=True)),
            "column public.users.created_at",
        ),
        (with_slot(wal_status="unreserved"), "slot dataflix"),
        (with_table("ratings", foreign_keys_off=True), "table public.ratings"),
        (with_table("ratings", key=("movie_id", "user_id")), "table public.ratings"),
    ],
)
def test_what_still_works_is_a_warning(facts: SourceFacts, subject: str) -> None:
    assert only_finding(facts).subject == subject
    assert faults(judge(facts, SETTINGS)) == []


@pytest.mark.parametrize(
    ("facts", "cure"),
    [
        (partitioned("public.r0", "public.r1"), VIA_ROOT),
        (
            partitioned("public.r0", members=ALL - {"public.ratings"} | {"public.r0"}),
            f"ALTER PUBLICATION dataflix ADD TABLE public.ratings; {VIA_ROOT}",
        ),
        (
            partitioned(members=ALL - {"public.ratings"}),
            f"ALTER PUBLICATION dataflix ADD TABLE public.ratings; {VIA_ROOT}",
        ),
        (
            partitioned(members=ALL - {"public.ratings"}, via_root=True),
            "ALTER PUBLICATION dataflix ADD TABLE public.ratings",
        ),
    ],
)
def test_a_partitioned_table_is_to_be_published_under_its_own_name(facts: SourceFacts, cure: str) -> None:
    finding = only_finding(facts)
    assert (finding.level, finding.subject, finding.cure) == (Level.FAULT, "publication dataflix", cure)


def test_a_partitioned_table_that_is_published_under_its_own_name_is_sound() -> None:
    assert judge(partitioned("public.ratings", via_root=True), SETTINGS) == []


def test_a_missing_column_is_a_fault() -> None:
    columns = {name: facts for name, facts in SOUND.tables["users"].columns.items() if name != "email"}
    assert only_finding(with_table("users", columns=columns)).problem == (
        "is in the contract and not in the database"
    )


def test_a_column_that_may_have_been_renamed_is_named_with_its_way_back() -> None:
    columns = {
        {"city": "town"}.get(name, name): facts for name, facts in SOUND.tables["users"].columns.items()
    }
    [missing] = faults(judge(with_table("users", columns=columns), SETTINGS))
    assert "ALTER TABLE public.users RENAME COLUMN town TO city" in missing.cure


@pytest.mark.parametrize(
    ("missing", "problem", "cure"),
    [
        (
            MissingFacts(alike=(SimilarTable("public", "ratings2"),)),
            "does not exist",
            "ALTER TABLE public.ratings2 RENAME TO ratings,",
        ),
        (
            MissingFacts(alike=(SimilarTable("old", "ratings"),)),
            "does not exist",
            "ALTER TABLE old.ratings SET SCHEMA public,",
        ),
        (
            MissingFacts("VIEW", (SimilarTable('"Old"', '"R"'),)),
            "is a view and no table",
            (
                'DROP VIEW public.ratings; ALTER TABLE "Old"."R" SET SCHEMA public;'
                ' ALTER TABLE public."R" RENAME TO ratings,'
            ),
        ),
    ],
)
def test_a_table_that_may_have_been_renamed_is_named_with_its_way_back(
    missing: MissingFacts, problem: str, cure: str
) -> None:
    """The publication has the table under its other name: neither is to be changed there."""
    [alike] = missing.alike
    facts = dataclasses.replace(
        with_publication(tables=ALL - {"public.ratings"} | {alike.full_name}),
        tables=without_table("ratings").tables,
        missing={"ratings": missing},
    )
    finding = only_finding(facts)
    assert (finding.level, finding.subject, finding.problem) == (Level.FAULT, "table public.ratings", problem)
    assert finding.cure.startswith(f"if it was renamed, {cure} then bin/dataflix-reconcile; ")


def test_children_by_inheritance_are_a_fault_with_the_statement_that_parts_them() -> None:
    finding = only_finding(with_table("ratings", children=("public.ratings_old",)))
    assert (finding.level, finding.subject) == (Level.FAULT, "table public.ratings")
    assert finding.cure.startswith("ALTER TABLE public.ratings_old NO INHERIT public.ratings;")


def test_sessions_without_triggers_and_foreign_keys_are_a_warning() -> None:
    finding = only_finding(dataclasses.replace(SOUND, replica_role_by=("ALTER DATABASE dataflix_db",)))
    assert (finding.level, finding.subject) == (Level.WARNING, "session_replication_role")
    assert "ALTER DATABASE dataflix_db RESET session_replication_role;" in finding.cure


def test_varying_text_is_text() -> None:
    assert judge(with_column("name", ColumnFacts("character varying(80)", nullable=True)), SETTINGS) == []


def test_only_a_lost_slot_does_not_refuse_a_resnapshot() -> None:
    assert only_finding(with_slot(wal_status="lost")).is_cured_by_resnapshot
    assert not only_finding(with_slot(plugin="wal2json")).is_cured_by_resnapshot
