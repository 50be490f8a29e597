"""Differences between live tables and the contract, in words."""

from dataclasses import replace

import pytest

from dataflix_contract import tables
from dataflix_postgres.drift import LiveColumn, differences

RATINGS = {
    "user_id": LiveColumn("bigint", nullable=False, key_position=0),
    "movie_id": LiveColumn("bigint", nullable=False, key_position=1),
    "rating": LiveColumn("numeric(2,1)", nullable=False),
    "rated_at": LiveColumn("timestamp with time zone", nullable=False),
    "updated_at": LiveColumn("timestamp with time zone", nullable=False),
}
CONTRACT = {"ratings": tables()["ratings"]}


def test_equal_tables_do_not_differ() -> None:
    assert differences(CONTRACT, {"ratings": RATINGS}) == []


def test_a_missing_table_is_named() -> None:
    assert differences(CONTRACT, {}) == ["table ratings is missing"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"note": LiveColumn("text", nullable=True)},
            "ratings.note is not in the contract: it is not forwarded",
        ),
        (
            {"rating": LiveColumn("real", nullable=False)},
            "ratings.rating is real, the contract says numeric(2,1)",
        ),
        (
            {"rating": replace(RATINGS["rating"], nullable=True)},
            "ratings.rating may be NULL, the contract says otherwise",
        ),
        (
            {"movie_id": replace(RATINGS["movie_id"], key_position=None)},
            "ratings: the primary key is ('user_id',), the contract says ('user_id', 'movie_id')",
        ),
    ],
)
def test_each_difference_is_told(change: dict[str, LiveColumn], words: str) -> None:
    assert differences(CONTRACT, {"ratings": RATINGS | change}) == [words]


def test_a_missing_column_is_told() -> None:
    rest = {name: column for name, column in RATINGS.items() if name != "rated_at"}
    assert differences(CONTRACT, {"ratings": rest}) == ["ratings.rated_at is missing"]


def test_the_order_of_the_key_matters() -> None:
    turned = RATINGS | {
        "user_id": replace(RATINGS["user_id"], key_position=1),
        "movie_id": replace(RATINGS["movie_id"], key_position=0),
    }
    assert len(differences(CONTRACT, {"ratings": turned})) == 1
