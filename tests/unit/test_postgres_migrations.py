"""Which migrations a database lacks, and when not to go on."""

import re

import pytest

from dataflix_contract import tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import HEARTBEAT_TABLE, PUBLICATION
from dataflix_postgres.migrations import Migration, in_order, pending, shipped_migrations

FIRST, SECOND = Migration(1, "0001_a.sql", "SELECT 1"), Migration(2, "0002_b.sql", "SELECT 2")


def test_an_empty_database_lacks_everything_in_order() -> None:
    assert pending((FIRST, SECOND), {}) == (FIRST, SECOND)


def test_what_is_recorded_is_not_applied_again() -> None:
    assert pending((FIRST, SECOND), {1: FIRST.sha256}) == (SECOND,)


def test_a_changed_file_is_named_and_nothing_is_applied() -> None:
    with pytest.raises(Fault, match=r"0001_a\.sql changed after it was applied"):
        pending((FIRST, SECOND), {1: SECOND.sha256})


def test_a_newer_database_is_left_alone() -> None:
    with pytest.raises(Fault, match="migration 0003"):
        pending((FIRST, SECOND), {1: FIRST.sha256, 3: "of the future"})


def test_files_are_ordered_by_number() -> None:
    named = [("0002_b.sql", "SELECT 2"), ("0001_a.sql", "SELECT 1")]
    assert in_order(named) == (FIRST, SECOND)


@pytest.mark.parametrize(
    "names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_c.sql"]]
)
def test_gaps_and_doubles_are_refused(names: list[str]) -> None:
    with pytest.raises(Fault, match="without gaps or doubles"):
        in_order((name, "") for name in names)


@pytest.mark.parametrize("name", ["1_a.sql", "0001_a.sql.bak", "notes.txt", "0001-a.sql"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Fault, match="is no migration"):
        in_order([(name, "")])


def test_the_shipped_files_publish_the_contract() -> None:
    text = "\n".join(each.sql for each in shipped_migrations())
    lists = re.findall(rf"PUBLICATION {PUBLICATION} (?:FOR|ADD) TABLE ([^;]+);", text)
    published = {name for names in lists for name in names.split(", ")}
    assert published == {*tables(), HEARTBEAT_TABLE}
    for name in tables():
        assert f"ALTER TABLE {name} REPLICA IDENTITY FULL;" in text
