"""Which statements are run, and in which order."""

from dataclasses import replace

import pytest

from dataflix_clickhouse import statements
from dataflix_clickhouse.schema_plan import Found, leftovers, plan
from dataflix_contract import Table
from dataflix_contract.faults import Fault
from dataflix_contract.schema import load_contract

BROKERS = "broker:9092"

SCRATCH = """
[things]
key = ["id"]
[things.columns]
id    = { type = "bigint", class = "public" }
label = { type = "text", class = "public", nullable = true }
"""


@pytest.fixture
def things() -> Table:
    return load_contract(SCRATCH)["things"]


@pytest.fixture
def complete(things: Table) -> Found:
    ingest = statements.ingest(things, BROKERS)
    views = {name: statements.fingerprint(sql) for name, sql in statements.views(things).items()}
    return Found(
        databases=dict.fromkeys(statements.DATABASES, "Atomic"),
        comments={
            "ingest_errors": "",
            "things": "",
            **views,
            **dict.fromkeys(ingest.names, ingest.fingerprint),
        },
        columns={"things": {"id": "Int64", "label": "Nullable(String)", "_version": "UInt64"}},
        ops_tables={
            "reconciliations": frozenset({"run_id", "truncated", "orphans", "source_shape"}),
            "pipeline_runs": frozenset({"run_id"}),
            "truncates": frozenset({"version"}),
        },
    )


def run(table: Table, found: Found, brokers: str = BROKERS, cluster: str = "") -> list[str]:
    return [step.what for step in plan([table], found, brokers, cluster)]


def test_an_empty_warehouse_is_made_in_an_order_that_loses_no_message(things: Table) -> None:
    assert run(things, Found()) == [
        *(f"create the database {name}" for name in statements.DATABASES),
        "create raw.ingest_errors",
        "create ops.reconciliations",
        "create ops.pipeline_runs",
        "create ops.truncates",
        "create raw.things",
        "create a placeholder for raw.things_queue",
        "create raw.things_mv",
        "create raw.things_errors_mv",
        "create raw.things_truncates_mv",
        "drop the placeholder for raw.things_queue",
        "create raw.things_queue",
        "create the view raw.masked_things",
        "create the view raw.things_truncated",
        "create the view raw.things_bury_mv",
    ]


def test_a_complete_warehouse_is_left_alone(things: Table, complete: Found) -> None:
    assert run(things, complete) == []


def test_another_broker_replaces_queue_and_views_only(things: Table, complete: Found) -> None:
    assert run(things, complete, "else:1") == [
        "drop raw.things_queue",
        "drop raw.things_mv",
        "drop raw.things_errors_mv",
        "drop raw.things_truncates_mv",
        "create a placeholder for raw.things_queue",
        "create raw.things_mv",
        "create raw.things_errors_mv",
        "create raw.things_truncates_mv",
        "drop the placeholder for raw.things_queue",
        "create raw.things_queue",
    ]


def test_an_interrupted_replacement_is_taken_up(things: Table, complete: Found) -> None:
    comments = dict(complete.comments) | {"things_queue": ""}
    del comments["things_errors_mv"]
    steps = run(things, replace(complete, comments=comments))
    assert steps[:4] == [
        "drop raw.things_queue",
        "drop raw.things_mv",
        "drop raw.things_truncates_mv",
        "create a placeholder for raw.things_queue",
    ]


def test_a_new_column_is_added_in_its_place_before_the_views_use_it(complete: Found) -> None:
    wider = load_contract(SCRATCH + 'place = { type = "text", class = "public", nullable = true }')["things"]
    steps = list(plan([wider], complete, BROKERS))
    assert steps[0].sql == (
        "ALTER TABLE raw.things ADD COLUMN IF NOT EXISTS place Nullable(String) AFTER label"
    )
    assert [step.what for step in steps][1] == "drop raw.things_queue"
    assert steps[-1].what == "create the view raw.masked_things"


def test_a_report_of_an_older_release_gets_its_new_columns(things: Table, complete: Found) -> None:
    ops_tables = dict(complete.ops_tables) | {
        "reconciliations": frozenset({"run_id", "truncated", "orphans"})
    }
    steps = list(plan([things], replace(complete, ops_tables=ops_tables), BROKERS))
    assert [step.sql for step in steps] == [
        "ALTER TABLE ops.reconciliations ADD COLUMN IF NOT EXISTS source_shape String"
    ]


def test_a_view_that_cannot_be_replaced_is_dropped_first(things: Table, complete: Found) -> None:
    comments = dict(complete.comments) | {"masked_things": "old", "things_bury_mv": "old"}
    assert run(things, replace(complete, comments=comments)) == [
        "create the view raw.masked_things",
        "drop the view raw.things_bury_mv",
        "create the view raw.things_bury_mv",
    ]


def test_a_changed_type_is_refused_with_the_statement_that_cures_it(things: Table, complete: Found) -> None:
    found = replace(complete, columns={"things": {"id": "Int64", "label": "String"}})
    with pytest.raises(Fault, match=r"ALTER TABLE raw\.things MODIFY COLUMN label"):
        run(things, found)


def test_columns_that_left_the_contract_are_told(things: Table, complete: Found) -> None:
    found = replace(complete, columns={"things": {**complete.columns["things"], "old": "String"}})
    assert leftovers([things], found) == ["things.old"]


def test_a_complete_warehouse_of_replicas_is_left_alone(things: Table, complete: Found) -> None:
    found = replace(complete, databases=dict.fromkeys(statements.DATABASES, "Replicated"))
    assert run(things, found, cluster="pair") == []


@pytest.mark.parametrize(("there", "cluster"), [("Atomic", "pair"), ("Replicated", "")])
def test_a_warehouse_does_not_change_over_between_one_server_and_several(
    things: Table, complete: Found, there: str, cluster: str
) -> None:
    found = replace(complete, databases=dict.fromkeys(statements.DATABASES, there))
    with pytest.raises(Fault, match=rf"raw is {there}, and DATAFLIX_CLICKHOUSE_CLUSTER={cluster} wants"):
        run(things, found, cluster=cluster)


def test_replicas_share_what_is_kept_and_each_reads_its_part_of_the_topic(things: Table) -> None:
    one, several = (
        {step.what: step.sql for step in plan([things], Found(), BROKERS, cluster)}
        for cluster in ("", "pair")
    )
    assert one.keys() == several.keys()
    for what, sql in several.items():
        if what.startswith("create the database"):
            assert sql.startswith(f"{one[what]} ON CLUSTER 'pair'\n")
            assert "ENGINE = Replicated('/clickhouse/databases/" in sql
        else:
            assert sql.replace("ENGINE = ReplicatedReplacing", "ENGINE = Replacing") == one[what]
    kept = [what for what in several if one[what] != several[what] and "database" not in what]
    assert kept == [
        "create raw.ingest_errors",
        "create ops.reconciliations",
        "create ops.pipeline_runs",
        "create ops.truncates",
        "create raw.things",
    ]
