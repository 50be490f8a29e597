"""Names of staging tables, and what the SQL must not lack."""

import pytest

from dataflix_contract import Table, tables
from dataflix_reconciliation.warehouse_staging import Names, is_of, render

TOKEN = "0123abcd"
TEMPLATES = (
    *("snapshot", "findings", "newest", "repair", "compare"),
    *("look_for_newest", "count", "prepare_repair", "apply"),
)


@pytest.fixture(params=list(tables().values()), ids=lambda table: table.name)
def table(request: pytest.FixtureRequest) -> Table:
    chosen: Table = request.param
    return chosen


def test_an_attempt_knows_its_tables_and_those_of_others_on_the_same_table(table: Table) -> None:
    for name in Names.of(table, TOKEN).all:
        owners = [other.name for other in tables().values() if is_of(other, name)]
        assert owners == [table.name]


@pytest.mark.parametrize("name", ["users", "users_backup", "users_0123abcd_else", "users_0123ABCD_repair"])
def test_nobody_elses_table_is_taken_for_an_attempts(name: str) -> None:
    assert not is_of(tables()["users"], name)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_statement_renders(table: Table, template: str) -> None:
    text = render(template, table, Names.of(table, TOKEN))
    assert "{{" not in text
    assert "{%" not in text


def test_null_equals_null_and_dropped_columns_are_not_compared(table: Table) -> None:
    text = render("compare", table, Names.of(table, TOKEN))
    for column in table.forwarded_columns:
        if column.name not in table.key:
            sign = "<=>" if column.nullable else "="
            assert f"snapshot.{column.name} {sign} live.{column.name}" in text
