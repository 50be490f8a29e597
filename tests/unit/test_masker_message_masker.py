"""What the masker makes of a message, and that nothing personal survives it."""

import json
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_contract import Masking, tables
from dataflix_contract.schema import FENCE_HEADER, UNAVAILABLE_VALUE
from dataflix_stream_processors.dead_letter_record import Reason, Refused, cure
from dataflix_stream_processors.message_masker import Masked, Outcome, Skipped, TableMasker
from support.equality import masked_row

CANARY = "canary-7f3a"
MAX_BYTES = 16_384
MASKING = Masking("a key for the unit tests", "t1")
USERS = TableMasker(tables()["users"], MASKING, MAX_BYTES)
RATINGS = TableMasker(tables()["ratings"], MASKING, MAX_BYTES)
MOVIES = TableMasker(tables()["movies"], MASKING, MAX_BYTES)
NOW = "2026-01-31T10:00:00.123456Z"

USER: dict[str, Any] = {
    "user_id": 7,
    "name": f"Anna {CANARY}",
    "email": f"{CANARY}@example.org",
    "birth_year": 1980,
    "city": "Berlin",
    "state": None,
    "created_at": NOW,
    "updated_at": NOW,
}
RATING: dict[str, Any] = {"user_id": 7, "movie_id": 9, "rating": "4.5", "rated_at": NOW, "updated_at": NOW}
MOVIE: dict[str, Any] = {
    "movie_id": 9,
    "title": "Solaris",
    "release_year": 1972,
    "genres": ["Drama", "Sci-Fi"],
    "overview": None,
    "created_at": NOW,
}


def envelope(op: Any = "c", table: str = "users", **parts: Any) -> dict[str, Any]:
    samples: dict[str, dict[str, Any]] = {"users": USER, "ratings": RATING, "movies": MOVIE}
    row = samples[table]
    source = {"table": table, "lsn": 100, "txId": 5, "ts_us": 1_000, "snapshot": "false", "db": "dataflix"}
    rows: dict[str, dict[str, Any]] = {
        "c": {"before": None, "after": row},
        "r": {"before": None, "after": row},
        "u": {"before": row, "after": row},
        "d": {"before": row, "after": None},
    }
    return {"op": op, "source": source, "ts_us": 2_000, "ts_ms": 2, "transaction": None} | (
        rows.get(op, rows["c"]) | parts
    )


def decide(
    masker: TableMasker, value: Any, key: Any = None, headers: list[tuple[str, bytes]] | None = None
) -> Outcome:
    key = {"user_id": 7} if key is None else key
    return masker.decide(
        SimpleNamespace(
            key=key if isinstance(key, bytes) else orjson.dumps(key),
            value=value if isinstance(value, bytes) else json.dumps(value).encode(),
            headers=headers,
        )
    )


def masked(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Masked), outcome
    value: dict[str, Any] = orjson.loads(outcome.value)
    return value


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refused), outcome
    assert CANARY not in repr(outcome)
    return outcome.reason


def without(column: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != column}


def changed(row: dict[str, Any], **values: Any) -> dict[str, Any]:
    return envelope(after={**row, **values})


class TestMasked:
    def test_message_is_what_the_warehouse_reads(self) -> None:
        outcome = decide(USERS, envelope("c"))
        assert masked(outcome) == {
            "op": "c",
            "version": 100,
            "before": None,
            "after": {**USER, "name": MASKING.name(USER["name"]), "email": MASKING.email(USER["email"])},
            "source": {"table": "users", "lsn": 100, "tx_id": 5, "ts_us": 1_000, "snapshot": "false"},
            "ts_us": 2_000,
        }
        assert isinstance(outcome, Masked)
        assert outcome.key == b'{"user_id":7}'

    def test_both_rows_of_an_update_are_masked(self) -> None:
        value = masked(decide(USERS, envelope("u")))
        assert value["before"] == value["after"]
        assert CANARY not in json.dumps(value)

    def test_a_delete_keeps_the_masked_row_before(self) -> None:
        value = masked(decide(USERS, envelope("d")))
        assert value["before"]["email"] == MASKING.email(USER["email"])
        assert value["after"] is None

    def test_an_update_without_the_row_before_is_forwarded(self) -> None:
        assert masked(decide(USERS, envelope("u", before=None)))["before"] is None

    def test_equals_the_masking_of_a_row(self) -> None:
        value = masked(decide(USERS, envelope("c")))
        assert value["after"] == masked_row(MASKING, tables()["users"], USER)

    def test_all_types_pass(self) -> None:
        assert masked(decide(MOVIES, envelope(table="movies"), {"movie_id": 9}))["after"] == MOVIE
        key = {"movie_id": 9, "user_id": 7}
        assert masked(decide(RATINGS, envelope(table="ratings"), key))["after"] == RATING

    def test_key_is_written_in_the_contract_s_order(self) -> None:
        outcome = decide(RATINGS, envelope(table="ratings"), {"movie_id": 9, "user_id": 7, "more": CANARY})
        assert isinstance(outcome, Masked)
        assert outcome.key == b'{"user_id":7,"movie_id":9}'

    def test_unknown_columns_are_dropped_and_named(self) -> None:
        outcome = decide(USERS, envelope("u", after={**USER, "phone": CANARY}))
        assert CANARY not in json.dumps(masked(outcome))
        assert isinstance(outcome, Masked)
        assert outcome.unknown == {"phone"}

    def test_a_column_that_is_missing_before_an_update_does_not_matter(self) -> None:
        row = without("city", USER)
        value = masked(decide(USERS, envelope("u", before=row)))
        assert (value["before"]["city"], value["after"]["city"]) == (None, "Berlin")

    @pytest.mark.parametrize("text", ["__debezium_unavailable_value", "\\0unavailable", "unavailable"])
    def test_a_text_that_debezium_uses_as_its_placeholder_elsewhere_is_a_text(self, text: str) -> None:
        value = masked(decide(USERS, changed(USER, name=text, email=text, city=text)))
        assert value["after"]["name"] == MASKING.name(text)
        assert value["after"]["city"] == text
        movie = {**MOVIE, "title": text, "genres": [text]}
        assert (
            masked(decide(MOVIES, envelope(table="movies", after=movie), {"movie_id": 9}))["after"] == movie
        )

    @pytest.mark.parametrize(
        ("rating", "forwarded"),
        [("3", "3"), ("3.5", "3.5"), ("3.50", "3.5"), ("3.00", "3.0"), ("0.500000", "0.5")],
    )
    def test_a_numeric_of_another_scale_is_forwarded_as_the_number_that_it_is(
        self, rating: str, forwarded: str
    ) -> None:
        key = {"user_id": 7, "movie_id": 9}
        outcome = decide(RATINGS, envelope(table="ratings", after={**RATING, "rating": rating}), key)
        assert masked(outcome)["after"]["rating"] == forwarded

    def test_of_duplicate_names_the_last_counts_and_none_leaks(self) -> None:
        text = orjson.dumps(envelope()).replace(b'"city":', b'"city":"' + CANARY.encode() + b'","city":')
        value = masked(decide(USERS, text))
        assert value["after"]["city"] == "Berlin"
        assert CANARY not in json.dumps(value)

    def test_a_null_value_is_skipped(self) -> None:
        assert isinstance(USERS.decide(SimpleNamespace(key=b"{}", value=None, headers=None)), Skipped)


class TestDeleted:
    """An erasure must get through: a delete is judged by its key alone."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": UNAVAILABLE_VALUE},
            {"name": "__debezium_unavailable_value"},
            {"email": 5},
            {"birth_year": 2**40},
            {"created_at": None},
            {"created_at": CANARY},
            {"updated_at": 1_700_000_000, "city": [CANARY]},
        ],
    )
    def test_whatever_else_the_row_held(self, wrong: dict[str, Any]) -> None:
        outcome = decide(USERS, envelope("d", before={**USER, **wrong}))
        value = masked(outcome)
        assert value["before"]["user_id"] == 7
        assert CANARY not in json.dumps(value)
        assert value["before"]["state"] is None
        assert value["before"]["birth_year"] in (None, 1980)

    def test_what_is_wrong_is_null_and_the_rest_is_masked(self) -> None:
        value = masked(decide(USERS, envelope("d", before={**USER, "birth_year": "x"})))
        rest = masked_row(MASKING, tables()["users"], USER)
        assert value["before"] == rest | {"birth_year": None}

    def test_with_the_key_alone(self) -> None:
        value = masked(decide(USERS, envelope("d", before={"user_id": 7})))
        assert value["before"] == dict.fromkeys(USER) | {"user_id": 7}

    def test_with_the_default_replica_identity(self) -> None:
        """Debezium then fills columns that are never NULL with the epoch."""
        row: dict[str, Any] = dict.fromkeys(USER) | {"user_id": 7}
        row |= dict.fromkeys(("created_at", "updated_at"), "1970-01-01T00:00:00.000000Z")
        assert masked(decide(USERS, envelope("d", before=row)))["before"]["user_id"] == 7

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            ({}, Reason.MISSING_COLUMN),
            ({"user_id": None}, Reason.WRONG_TYPE),
            ({"user_id": "7"}, Reason.WRONG_TYPE),
            ({"user_id": 8}, Reason.KEY_MISMATCH),
        ],
    )
    def test_not_with_another_key_than_the_message_s(self, key: dict[str, Any], why: Reason) -> None:
        row = without("user_id", USER) | key
        assert reason(decide(USERS, envelope("d", before=row))) is why


class TestTruncated:
    def test_a_truncate_has_a_version_and_no_row(self) -> None:
        message = SimpleNamespace(key=None, value=orjson.dumps(envelope("t", after=None)), headers=None)
        outcome = USERS.decide(message)
        value = masked(outcome)
        assert (value["op"], value["version"], value["before"], value["after"]) == ("t", 100, None, None)
        assert isinstance(outcome, Masked)
        assert outcome.key is None
        assert outcome.value.startswith(b'{"op":"t",')

    def test_nothing_of_a_row_travels_with_it(self) -> None:
        message = SimpleNamespace(
            key=b"{}", value=orjson.dumps(envelope("t", before=USER, after=USER)), headers=None
        )
        assert CANARY not in repr(USERS.decide(message))


class TestVersion:
    def test_snapshot_rows_carry_the_fence(self) -> None:
        headers = [("other", b"1"), (FENCE_HEADER, b"42")]
        assert masked(decide(USERS, envelope("r"), headers=headers))["version"] == 42

    def test_snapshot_rows_without_a_fence_carry_their_lsn(self) -> None:
        assert masked(decide(USERS, envelope("r")))["version"] == 100

    def test_changes_carry_their_lsn(self) -> None:
        assert masked(decide(USERS, envelope("u"), headers=[(FENCE_HEADER, b"42")]))["version"] == 100

    @pytest.mark.parametrize("fence", [b"", b"x", b"-1", b"1.0", b"9" * 30, "٤".encode(), None])
    def test_a_bad_fence_is_refused(self, fence: Any) -> None:
        assert reason(decide(USERS, envelope("r"), headers=[(FENCE_HEADER, fence)])) is Reason.BAD_FENCE


class TestRefused:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"\xff\xfe" + CANARY.encode(),
            b'{"a":',
            b"NaN",
            b'{"a":Infinity}',
            b'"\\ud800' + CANARY.encode() + b'"',
            b"[" * 5_000,
            b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        ],
    )
    def test_what_is_not_json(self, text: bytes) -> None:
        assert reason(decide(USERS, text)) is Reason.NOT_JSON

    @pytest.mark.parametrize(
        "value",
        [
            None,
            1,
            CANARY,
            [CANARY],
            {},
            {"op": "u"},
            {"op": "u", "after": USER},
            envelope(op=None),
            envelope(source=None),
            envelope(source={**envelope()["source"], "table": "movies"}),
            envelope(source={**envelope()["source"], "lsn": None}),
            envelope(source={**envelope()["source"], "lsn": -1}),
            envelope(source={**envelope()["source"], "lsn": True}),
            envelope(source={**envelope()["source"], "lsn": 2**63}),
            envelope(source={**envelope()["source"], "txId": CANARY}),
            envelope(source={**envelope()["source"], "snapshot": CANARY}),
            envelope(ts_us=CANARY),
        ],
    )
    def test_what_is_not_an_envelope(self, value: Any) -> None:
        assert reason(decide(USERS, value)) is Reason.NOT_AN_ENVELOPE

    @pytest.mark.parametrize("op", ["m", "", "cc", CANARY])
    def test_unknown_operations(self, op: str) -> None:
        assert reason(decide(USERS, envelope(op))) is Reason.UNKNOWN_OP

    @pytest.mark.parametrize(
        ("op", "missing"), [("c", "after"), ("u", "after"), ("r", "after"), ("d", "before")]
    )
    def test_half_an_envelope(self, op: str, missing: str) -> None:
        assert reason(decide(USERS, envelope(op) | {missing: None})) is Reason.MISSING_ROW

    @pytest.mark.parametrize(
        "values",
        [
            {"user_id": None},
            {"user_id": "7"},
            {"user_id": True},
            {"user_id": 7.0},
            {"user_id": 2**63},
            {"user_id": -(2**63) - 1},
            {"birth_year": 2**15},
            {"birth_year": CANARY},
            {"name": 5},
            {"name": [CANARY]},
            {"email": {"a": CANARY}},
            {"city": 5},
            {"created_at": None},
            {"created_at": 1_700_000_000},
            {"created_at": CANARY},
            {"created_at": "2026-01-31"},
            {"created_at": "2026-01-31T10:00:00"},
            {"created_at": "2026-02-30T10:00:00Z"},
            {"created_at": "2026-01-31T25:00:00Z"},
            {"created_at": "12026-01-31T10:00:00Z"},
            {"created_at": "2300-01-31T10:00:00Z"},
            {"created_at": "2026-01-31T10:00:00Z\n"},
        ],
    )
    def test_wrong_types(self, values: dict[str, Any]) -> None:
        assert reason(decide(USERS, changed(USER, **values))) is Reason.WRONG_TYPE

    @pytest.mark.parametrize("moment", ["1900-01-01T00:00:00Z", "2299-12-31T23:59:59.999999Z"])
    def test_every_moment_that_the_source_allows(self, moment: str) -> None:
        assert isinstance(decide(USERS, changed(USER, created_at=moment)), Masked)

    def test_a_number_that_no_integer_holds(self) -> None:
        text = orjson.dumps(envelope()).replace(b'"birth_year":1980', b'"birth_year":' + b"9" * 400)
        assert reason(decide(USERS, text)) in (Reason.WRONG_TYPE, Reason.NOT_JSON)

    @pytest.mark.parametrize("genres", ["Drama", ["Drama", None], [1], None, {"a": "b"}])
    def test_wrong_arrays(self, genres: Any) -> None:
        outcome = decide(MOVIES, envelope(table="movies", after={**MOVIE, "genres": genres}), {"movie_id": 9})
        assert reason(outcome) is Reason.WRONG_TYPE

    @pytest.mark.parametrize(
        "rating", [4.5, 4, "NaN", "45", "4.55", "4.505", "3.5 ", "3.50\n", "+4.5", " 4.5", ""]
    )
    def test_wrong_decimals(self, rating: Any) -> None:
        outcome = decide(RATINGS, envelope(table="ratings", after={**RATING, "rating": rating}))
        assert reason(outcome) is Reason.WRONG_TYPE

    @pytest.mark.parametrize("column", ["name", "city", "created_at", "birth_year"])
    def test_a_value_that_debezium_does_not_have(self, column: str) -> None:
        assert reason(decide(USERS, changed(USER, **{column: UNAVAILABLE_VALUE}))) is Reason.UNAVAILABLE_VALUE

    def test_an_array_that_debezium_does_not_have(self) -> None:
        row = {**MOVIE, "genres": [UNAVAILABLE_VALUE]}
        outcome = decide(MOVIES, envelope(table="movies", after=row), {"movie_id": 9})
        assert reason(outcome) is Reason.UNAVAILABLE_VALUE

    @pytest.mark.parametrize("column", ["created_at", "city", "birth_year", "user_id", "name"])
    @pytest.mark.parametrize("op", ["c", "r", "u"])
    def test_a_missing_column(self, op: str, column: str) -> None:
        """Also one that may be NULL: what is not in the message is not NULL."""
        outcome = decide(USERS, envelope(op, after=without(column, USER)))
        assert reason(outcome) is Reason.MISSING_COLUMN

    @pytest.mark.parametrize(
        ("masker", "values", "detail"),
        [
            (USERS, {"birth_year": 70_000}, "expected smallint, got a value that it does not hold"),
            (USERS, {"created_at": 1_795_727_289_113_817}, "expected timestamptz, got int"),
            (RATINGS, {"rating": 3.5}, "expected numeric(2,1), got float"),
            (RATINGS, {"rating": "3.25"}, "expected numeric(2,1), got a value that it does not hold"),
        ],
    )
    def test_a_column_of_another_type_is_named(
        self, masker: TableMasker, values: dict[str, Any], detail: str
    ) -> None:
        table, row = masker.table.name, USER if masker is USERS else RATING
        outcome = decide(masker, envelope(table=table, after={**row, **values}))
        assert isinstance(outcome, Refused)
        assert outcome.detail == f"after.{next(iter(values))}: {detail}"

    @pytest.mark.parametrize("why", Reason)
    def test_each_reason_says_what_to_do(self, why: Reason) -> None:
        assert cure(why)

    def test_a_row_that_is_no_object(self) -> None:
        assert reason(decide(USERS, envelope(after=[CANARY]))) is Reason.WRONG_TYPE

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            (b"", Reason.BAD_KEY),
            (b"7", Reason.BAD_KEY),
            (CANARY.encode(), Reason.BAD_KEY),
            (b"{}", Reason.BAD_KEY),
            (b'{"user_id":"7"}', Reason.BAD_KEY),
            (b'{"user_id":true}', Reason.BAD_KEY),
            (b'{"user_id":8}', Reason.KEY_MISMATCH),
        ],
    )
    def test_bad_keys(self, key: bytes, why: Reason) -> None:
        assert reason(decide(USERS, envelope(), key)) is why

    def test_no_key(self) -> None:
        message = SimpleNamespace(key=None, value=orjson.dumps(envelope()), headers=None)
        assert reason(USERS.decide(message)) is Reason.NULL_KEY

    def test_too_large(self) -> None:
        assert reason(decide(USERS, changed(USER, city="x" * MAX_BYTES))) is Reason.TOO_LARGE

    def test_says_what_it_knows_of_the_message(self) -> None:
        outcome = decide(USERS, changed(USER, birth_year=CANARY))
        assert outcome == Refused(
            Reason.WRONG_TYPE, "after.birth_year: expected smallint, got str", op="c", lsn=100
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PATHS = st.sampled_from(["op", "ts_us", "before", "after", "source", "source.lsn", "source.table",
                         "source.snapshot", "source.txId", "after.user_id", "after.birth_year",
                         "after.created_at", "before.updated_at", "after.phone"])  # fmt: skip


@given(st.binary(max_size=400), st.none() | st.binary(max_size=40))
def test_any_bytes_are_decided(value: bytes, key: bytes | None) -> None:
    outcome = USERS.decide(SimpleNamespace(key=key, value=value, headers=None))
    assert isinstance(outcome, Refused)


@given(st.sampled_from("crudt"), PATHS, JSON)
def test_any_json_in_any_place_neither_raises_nor_leaks(op: str, path: str, junk: Any) -> None:
    value = envelope(op)
    value["before"] = dict(value["before"]) if value["before"] else None
    value["after"] = dict(value["after"]) if value["after"] else None
    *parents, name = path.split(".")
    target = value
    for parent in parents:
        target = target[parent] or {}
    target[name] = junk
    outcome = USERS.decide(
        SimpleNamespace(key=b'{"user_id":7}', value=json.dumps(value).encode(), headers=None)
    )
    assert CANARY not in repr(outcome)


@given(st.text(), st.text())
def test_no_name_or_address_survives(name: str, email: str) -> None:
    row = {**USER, "name": f"{name}{CANARY}", "email": f"{CANARY}{email}"}
    outcome = USERS.decide(
        SimpleNamespace(
            key=b'{"user_id":7}', value=json.dumps(envelope("u", after=row)).encode(), headers=None
        )
    )
    assert CANARY not in repr(outcome)
