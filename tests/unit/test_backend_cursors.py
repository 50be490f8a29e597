"""Cursors: every place comes back, and nothing else passes for one."""

import json

import pytest
from apiflask.exceptions import HTTPError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dataflix_backend.movies import _ORDERS
from dataflix_backend.validation import _to_text, decode_cursor, encode_cursor, fingerprint

BY_TEXT, BY_NUMBER = _ORDERS["title"].place, _ORDERS["relevance"].place
IDS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=200)


@given(TEXTS, IDS)
def test_a_place_by_text_comes_back(key: str, movie_id: int) -> None:
    assert decode_cursor(encode_cursor("q", (key, movie_id)), "q", BY_TEXT) == (key, movie_id)


@given(st.floats(allow_nan=False, allow_infinity=False), IDS)
def test_a_place_by_number_comes_back_to_the_bit(key: float, movie_id: int) -> None:
    assert decode_cursor(encode_cursor("q", (key, movie_id)), "q", BY_NUMBER) == (key, movie_id)


def test_a_cursor_is_of_one_query() -> None:
    first, second = (fingerprint({"q": q, "genre": None}) for q in ("a", "b"))
    cursor = encode_cursor(first, (1.0, 1))
    with pytest.raises(HTTPError) as refusal:
        decode_cursor(cursor, second, BY_NUMBER)
    assert refusal.value.status_code == 422
    assert "another query" in str(refusal.value.detail)


@given(st.text("abcXYZ019-_", max_size=60))
def test_text_is_no_cursor(text: str) -> None:
    with pytest.raises(HTTPError):
        decode_cursor(text, "q", BY_NUMBER)


@pytest.mark.parametrize(
    "place",
    [
        None,
        [],
        [1],
        [1, 2, 3],
        ["x", 1],
        [1, -(2**63) - 1],
        [1, 2**63],
        [1, 1.5],
        [10**400, 1],
        [float("nan"), 1],
        [float("inf"), 1],
        {"0": 1, "1": 2},
        [[[[1]]], 1],
    ],
)
def test_a_forged_place_by_number_is_refused(place: object) -> None:
    forged = _to_text(json.dumps(["q", place]).encode())
    with pytest.raises(HTTPError):
        decode_cursor(forged, "q", BY_NUMBER)


@pytest.mark.parametrize("key", ["\0", "x" * 1001, "\ud800", 5])
def test_a_forged_place_by_text_is_refused(key: object) -> None:
    forged = _to_text(json.dumps(["q", [key, 1]]).encode())
    with pytest.raises(HTTPError):
        decode_cursor(forged, "q", BY_TEXT)


@pytest.mark.parametrize("content", [b"[" * 5000, b"\xff", b"1", b'"q"', b'["q"]', b'["q", [1, 1], 2]'])
def test_content_that_is_no_pair_is_refused(content: bytes) -> None:
    with pytest.raises(HTTPError):
        decode_cursor(_to_text(content), "q", TypeAdapter(list[int]))
