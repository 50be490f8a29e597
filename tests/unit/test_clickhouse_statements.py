"""The SQL that the contract becomes."""

import pytest

from dataflix_clickhouse import statements
from dataflix_contract import Table, tables
from dataflix_contract.schema import load_contract

BROKERS = "broker:9092"

SCRATCH = """
[things]
key = ["id"]
[things.columns]
id     = { type = "bigint", class = "public" }
label  = { type = "text", class = "public", nullable = true }
score  = { type = "numeric(2,1)", class = "public" }
tags   = { type = "text[]", class = "public" }
secret = { type = "text", class = "dropped" }
"""


@pytest.fixture
def things() -> Table:
    return load_contract(SCRATCH)["things"]


def test_the_raw_table_has_the_forwarded_columns_and_no_others(things: Table) -> None:
    sql = statements.rows(things, cluster="")
    assert "id Int64,\n    label Nullable(String),\n    score Decimal(2, 1),\n    tags Array(String)," in sql
    assert "ORDER BY (id)" in sql
    assert "secret" not in sql


def test_a_dropped_column_is_nowhere_in_the_ingest(things: Table) -> None:
    ingest = statements.ingest(things, BROKERS)
    assert not [sql for sql in (ingest.create_queue, *ingest.views.values()) if "secret" in sql]


def test_the_queue_reads_the_masked_topic_in_a_group_of_its_own(things: Table) -> None:
    queue = statements.ingest(things, BROKERS).create_queue
    assert "kafka_topic_list = 'masked.things'" in queue
    assert "kafka_group_name = 'clickhouse-raw-things'" in queue
    assert f"kafka_broker_list = '{BROKERS}'" in queue


def test_faults_name_the_key_and_the_required_columns(things: Table) -> None:
    texts = list(statements.faults(things).values())
    assert texts == [
        "this is not JSON",
        "op is none of c, u, d, r",
        "version is missing or not a number",
        "id is no bigint",
        "label is no text",
        "score is no numeric(2,1)",
        "id is missing",
        "score is missing",
    ]


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_no_view_evaluates_by_short_circuit(table: Table) -> None:
    for sql in statements.ingest(table, BROKERS).views.values():
        code = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
        assert "multiIf" not in code
        assert " AND " not in code
        assert " OR " not in code


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_the_fingerprint_follows_the_text(table: Table) -> None:
    one, same, other = (statements.ingest(table, brokers) for brokers in (BROKERS, BROKERS, "else:1"))
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint


def test_each_column_that_a_report_gained_is_in_its_first_statement_too() -> None:
    created = statements.ops_tables("")
    for name, columns in statements.ADDED_COLUMNS.items():
        for column, kind in columns.items():
            assert f"    {column} {kind} COMMENT" in created[name]
