"""The contract file, and what it may not say."""

import pytest

from dataflix_contract import ColumnType, ContractError, PiiClass, tables
from dataflix_contract.schema import load_contract


def contract(column: str, key: str = '["a"]') -> str:
    return f'[t]\nkey = {key}\n[t.columns]\na = {{ type = "bigint", class = "public" }}\n{column}\n'


def test_the_shipped_contract_begins_with_the_tables_of_the_service() -> None:
    assert list(tables())[:5] == ["users", "movies", "watched_movies", "ratings", "dismissed_movies"]
    assert tables()["users"].raw_topic == "cdc.public.users"
    assert tables()["users"].masked_topic == "masked.users"


def test_names_and_addresses_are_the_personal_columns() -> None:
    columns = tables()["users"].columns.values()
    personal = {column.name: column.pii for column in columns if column.pii is not PiiClass.PUBLIC}
    assert personal == {"name": PiiClass.NAME, "email": PiiClass.EMAIL}


def test_dropped_columns_are_known_and_not_forwarded() -> None:
    table = load_contract(contract('b = { type = "text", class = "dropped" }'))["t"]
    assert [column.name for column in table.forwarded_columns] == ["a"]
    assert "b" in table.columns


def test_every_type_has_its_clickhouse_type() -> None:
    assert all(kind.clickhouse for kind in ColumnType)


@pytest.mark.parametrize(
    ("kind", "spelling", "same"),
    [
        ("text", "character varying", True),
        ("text", "character varying(80)", True),
        ("text", "character(20)", True),
        ("text", "citext", False),
        ("text", "text[]", False),
        ("text[]", "character varying[]", True),
        ("timestamptz", "timestamp with time zone", True),
        ("timestamptz", "timestamp without time zone", False),
        ("numeric(2,1)", "numeric(2,1)", True),
        ("numeric(2,1)", "numeric(3,1)", False),
        ("smallint", "integer", False),
    ],
)
def test_a_type_whose_values_are_the_contract_s_is_no_other_type(
    kind: str, spelling: str, same: bool
) -> None:
    assert ColumnType(kind).is_spelt(spelling) is same


def test_nullable_arrays_are_arrays() -> None:
    table = load_contract(
        contract('b = { type = "text[]", class = "public", nullable = true }\n'
                 'c = { type = "text", class = "public", nullable = true }')
    )["t"]  # fmt: skip
    assert table.columns["b"].clickhouse_type == "Array(String)"
    assert table.columns["c"].clickhouse_type == "Nullable(String)"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (contract("", key='["b"]'), "not a column"),
        (contract('b = { type = "text", class = "name" }', key='["b"]'), "must be public"),
        (contract('b = { type = "text", class = "public", nullable = true }', key='["b"]'), "not nullable"),
        (contract('b = { type = "money", class = "public" }'), "money"),
        (contract('b = { type = "text", class = "secret" }'), "secret"),
        (contract('b = { type = "text" }'), "class"),
        (contract('b = { type = "bigint", class = "email" }'), "only text"),
        (contract("").replace("[t]", '[t]\nbelongs_to = ["others"]', 1), "cannot belong to others"),
    ],
)
def test_a_faulty_contract_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ContractError, match=fault):
        load_contract(text)
