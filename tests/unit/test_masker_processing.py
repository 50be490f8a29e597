"""Unknown columns are told of once, and only by names that DDL can have made."""

import orjson

from dataflix_stream_processors.processing import MAX_COLUMNS, DriftLog


def test_each_column_is_told_of_once() -> None:
    drift = DriftLog()
    first = drift.new("users", ["phone", "fax"], 5)
    assert [notice.column for notice in first] == ["fax", "phone"]
    assert drift.new("users", ["phone"], 6) == []
    assert [notice.table for notice in drift.new("movies", ["phone"], 6)] == ["movies"]


def test_notice_names_the_column_and_the_time() -> None:
    notice = orjson.loads(DriftLog().new("users", ["phone"], 5)[0].to_json())
    assert notice.pop("first_seen_ms") > 0
    assert notice == {"table": "users", "column": "phone", "source_ts_us": 5}


def test_a_name_too_long_for_postgresql_is_not_repeated() -> None:
    drift = DriftLog()
    assert drift.new("users", ["ä" * 32], 5) == []
    assert not drift.knows("users", "ä" * 32)


def test_a_broken_source_cannot_fill_the_memory() -> None:
    drift = DriftLog()
    told = drift.new("users", [f"c{number}" for number in range(MAX_COLUMNS * 2)], 5)
    assert len(told) == MAX_COLUMNS
