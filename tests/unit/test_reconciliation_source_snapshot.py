"""Rows of PostgreSQL become what the stream would have made of them."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from dataflix_contract import Masking, tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import load_contract
from dataflix_reconciliation.source_snapshot import Masker
from support.equality import masked_row

MASKING = Masking("a key of a test, long enough", "t1")
MOMENT = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)

THINGS = load_contract(
    """
    [things]
    key = ["id"]
    [things.columns]
    id     = { type = "bigint", class = "public" }
    secret = { type = "text", class = "dropped" }
    stars  = { type = "numeric(2,1)", class = "public", nullable = true }
    tags   = { type = "text[]", class = "public", nullable = true }
    """
)["things"]


def block(**columns: pa.Array) -> pa.RecordBatch:
    return pa.record_batch(columns)


def test_users_are_masked_as_the_stream_masks_them() -> None:
    users = tables()["users"]
    people = [
        ("Ünal, \"the\" 'Great'\n\t\\", " Anna@Example.ORG "),
        ("", None),
        (None, "x@y.z"),
        (None, ""),
    ]
    rows = [
        {
            "user_id": number,
            "name": name,
            "email": email,
            "birth_year": None,
            "city": "",
            "state": None,
            "created_at": MOMENT,
            "updated_at": MOMENT,
        }
        for number, (name, email) in enumerate(people)
    ]
    masker = Masker(users, MASKING)
    types = {field.name: field.type for field in masker.schema}
    source = pa.Table.from_pylist(rows, schema=pa.schema(types.items())).to_batches()[0]
    assert masker.mask(source).to_pylist() == [masked_row(MASKING, users, row) for row in rows]


def test_columns_take_their_types_and_a_null_array_is_empty() -> None:
    source = block(
        id=pa.array([1, 2, 3], pa.int32()),
        stars=pa.array(["4.5", "0.5", None]),
        tags=pa.array([["a,b", '"', "\\", "{}", "", "ü\n"], [], None], pa.list_(pa.string())),
    )
    masked = Masker(THINGS, MASKING).mask(source)
    assert masked.schema.names == ["id", "stars", "tags"]
    assert masked.to_pylist() == [
        {"id": 1, "stars": Decimal("4.5"), "tags": ["a,b", '"', "\\", "{}", "", "ü\n"]},
        {"id": 2, "stars": Decimal("0.5"), "tags": []},
        {"id": 3, "stars": None, "tags": []},
    ]


@pytest.mark.parametrize(
    "column",
    [
        {"stars": pa.array(["secret"])},
        {"stars": pa.array(["4.55"])},
        {"tags": pa.array(["not an array: secret"])},
    ],
)
def test_what_does_not_fit_is_refused_without_its_value(column: dict[str, pa.Array]) -> None:
    fitting = {
        "id": pa.array([1]),
        "stars": pa.array(["1.0"]),
        "tags": pa.array([[]], pa.list_(pa.string())),
    }
    with pytest.raises(Fault, match=r"things\.(stars|tags)") as refused:
        Masker(THINGS, MASKING).mask(block(**fitting | column))
    assert "secret" not in str(refused.value)
    assert "4.55" not in str(refused.value)


def test_a_column_to_mask_must_be_text() -> None:
    users = tables()["users"]
    columns = {column.name: pa.array([1]) for column in users.forwarded_columns}
    with pytest.raises(Fault, match=r"users\.name"):
        Masker(users, MASKING).mask(block(**columns))
