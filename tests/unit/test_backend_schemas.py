"""What the API takes and refuses, field by field; and that a refusal quotes nothing."""

import json
from typing import Any

import pytest
from apiflask.exceptions import HTTPError
from flask import Flask, request
from pydantic import BaseModel

from dataflix_backend import request_handling
from dataflix_backend.schemas import MovieSearch, NewRating, NewUser, Page, UserSearch
from dataflix_backend.validation import StrictAdapter

USER = {"name": "Ada Lovelace", "email": "ada@example.org"}
RATING = {"user_id": 1, "movie_id": 1, "rating": 4.5}
app = Flask(__name__)


def read(model: type[BaseModel], content: bytes | str, content_type: str = "application/json") -> BaseModel:
    with app.test_request_context("/", method="POST", data=content, content_type=content_type):
        return StrictAdapter(model).validate_input(request, "json")


def ask(model: type[BaseModel], query: str) -> BaseModel:
    with app.test_request_context(f"/?{query}"):
        return StrictAdapter(model).validate_input(request, "query")


def refused(model: type[BaseModel], content: bytes | str) -> dict[str, list[str]]:
    with pytest.raises(HTTPError) as refusal:
        read(model, content)
    assert refusal.value.status_code == 422
    errors: dict[str, list[str]] = refusal.value.detail["json"]
    return errors


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"birth_year": None, "city": None, "state": None},
        {"birth_year": 1900, "city": "Zürich", "state": "x" * 200},
        {"name": "李小龍 👩‍👩‍👧", "email": "a.b+c@sub.例え.jp"},
        {"name": "\u200bسمن\u200f", "city": "تبريز", "state": "ก็"},
        {"name": "-"},
        {"name": "Robert'); DROP TABLE users;--"},
    ],
)
def test_a_user_is_taken(more: dict[str, Any]) -> None:
    assert read(NewUser, json.dumps(USER | more)).model_dump(exclude_unset=True) == USER | more


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "a\0b"),
        ("name", "a\x1b[31mb"),
        ("name", "a\x9b31mb"),
        ("name", "a\u202eb"),
        ("city", "\u2066a\u2069"),
        ("name", "a\nb"),
        ("name", "\u200b"),
        ("name", " \xa0\u3000\u2028"),
        ("name", "\xad\u2060\ufeff\U000e0041"),
        ("name", "\u0301\u0300"),
        ("name", "\ufe0f\u200d"),
        ("name", "\u3164\uffa0\u115f\u1160"),
        ("name", "\u2800"),
        ("name", "\x80\x9f"),
        ("name", "\ue000"),
        ("name", "x" * 201),
        ("name", 5),
        ("name", None),
        ("email", "nobody"),
        ("email", "a@b"),
        ("email", "a@b@c.d"),
        ("email", "a b@c.d"),
        ("email", "@c.d"),
        ("email", "a@.d"),
        ("email", "a@c.d\n"),
        ("email", "\xa0a@c.d"),
        ("email", "a\u200b@c.d"),
        ("email", "a@c.d\ufeff"),
        ("email", "a@c\u3000.d"),
        ("email", f"{'x' * 251}@c.d"),
        ("birth_year", 1899),
        ("birth_year", 2101),
        ("birth_year", "1985"),
        ("birth_year", 1985.5),
        ("birth_year", True),
        ("city", ""),
        ("city", "\u200b"),
        ("state", "\u2800"),
        ("state", ["x"]),
        ("user_id", 7),
    ],
)
def test_a_user_with_a_wrong_field_is_refused(field: str, value: object) -> None:
    assert list(refused(NewUser, json.dumps(USER | {field: value}))) == [field]


@pytest.mark.parametrize("rating", [0, 0.4, 5.5, 4.25, "4", None, True, 1e308, [4]])
def test_a_rating_is_a_number_in_halves(rating: object) -> None:
    assert "rating" in refused(NewRating, json.dumps(RATING | {"rating": rating}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_rating_is_finite(number: str) -> None:
    assert refused(NewRating, json.dumps(RATING).replace("4.5", number))


@pytest.mark.parametrize("key", [-(2**63) - 1, 2**63, 10**400, 1.5, "1", None, True])
def test_an_id_is_what_postgresql_takes(key: object) -> None:
    assert "user_id" in refused(NewRating, json.dumps(RATING | {"user_id": key}))
    assert "movie_id" in refused(NewRating, json.dumps(RATING | {"movie_id": key}))


@pytest.mark.parametrize("key", [-(2**63), -5, 0, 2**63 - 1])
def test_an_id_is_any_that_postgresql_takes(key: int) -> None:
    taken = read(NewRating, json.dumps(RATING | {"user_id": key, "movie_id": key}))
    assert taken == NewRating(user_id=key, movie_id=key, rating=4.5)


def test_a_whole_number_may_have_a_point() -> None:
    taken = read(NewRating, '{"user_id": 7.0, "movie_id": 1e3, "rating": 4}')
    assert taken == NewRating(user_id=7, movie_id=1000, rating=4)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b"5", b"\xff\xfe", b"[" * 60_000, b'{"name": "\\ud800"}', b"{} {}"]
)
def test_content_that_is_no_object_is_refused(content: bytes) -> None:
    assert refused(NewUser, content)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jso", ""])
def test_only_json_is_taken(kind: str) -> None:
    with pytest.raises(HTTPError) as refusal:
        read(NewUser, json.dumps(USER), kind)
    assert refusal.value.status_code == 415


def test_a_refusal_quotes_no_value() -> None:
    secret = "Geheim"
    errors = refused(NewUser, json.dumps({"name": [secret], "email": secret, "birth_year": secret}))
    assert set(errors) == {"name", "email", "birth_year"}
    assert secret not in str(errors)
    assert errors["email"] == ["Send an e-mail address, such as ada@example.org"]


@pytest.mark.parametrize(
    "content",
    [
        '{"name": "Ada", "email": "ada@example.org", "name": "Eve"}',
        '{"name": "Ada", "email": "ada@example.org", "na\\u006de": "Ada"}',
        '{"name": [[[[]]]], "name": "Ada", "email": "ada@example.org"}',
        f'{{"name": {"9" * 4000}, "name": "Ada", "email": "ada@example.org"}}',
    ],
)
def test_a_field_that_comes_twice_is_refused_by_name(content: str) -> None:
    assert refused(NewUser, content) == {"name": ["Send it once"]}


@pytest.mark.parametrize("query", ["q=%ff%fe", "q=%ed%a0%80", "limit=5&q=%c0%80", "%ff=1"])
def test_a_query_that_is_not_utf_8_is_refused(query: str) -> None:
    for path in ("/movies", "/users/1", "/docs"):
        with (
            Flask(__name__).test_request_context(f"{path}?{query}"),
            pytest.raises(HTTPError, match="not UTF-8") as refusal,
        ):
            request_handling._require_utf8()
        assert refusal.value.status_code == 400


def test_a_query_has_defaults() -> None:
    assert ask(MovieSearch, "").model_dump(exclude_none=True) == {"limit": 20}
    assert ask(MovieSearch, "q=&genre=Drama&limit=100").model_dump(exclude_none=True) == {
        "q": "",
        "genre": "Drama",
        "limit": 100,
    }


@pytest.mark.parametrize(
    ("model", "query", "field"),
    [
        (Page, "limit=0", "limit"),
        (Page, "limit=101", "limit"),
        (Page, "limit=", "limit"),
        (Page, "limit=ten", "limit"),
        (Page, "limit=1&limit=2", "limit"),
        (Page, "limit=" + "9" * 5000, "limit"),
        (Page, "cursor=", "cursor"),
        (Page, "cursor=a%20b", "cursor"),
        (Page, "page=2", "page"),
        (UserSearch, "name=%00", "name"),
        (UserSearch, "name=" + "x" * 201, "name"),
        (MovieSearch, "sort=best", "sort"),
        (MovieSearch, "q=%00", "q"),
        (MovieSearch, "year_from=MCMXC", "year_from"),
        (MovieSearch, "year_to=10000", "year_to"),
    ],
)
def test_a_wrong_parameter_is_named(model: type[BaseModel], query: str, field: str) -> None:
    with pytest.raises(HTTPError) as refusal:
        ask(model, query)
    assert refusal.value.status_code == 422
    assert list(refusal.value.detail["query"]) == [field]
    assert field in (refusal.value.message or "")
