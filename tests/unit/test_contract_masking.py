"""The one rule of masking."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_contract import Masking
from dataflix_contract.schema import PiiClass

KEY = "a key for the unit tests"
MASKING = Masking(KEY, "t1")


def token(purpose: str, text: str) -> str:
    """The rule in the standard library's words."""
    message = f"{purpose}\0{text}".encode()
    return hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()[:32]


def test_a_name_is_a_keyed_token() -> None:
    assert MASKING.name(" Anna ") == f"name-t1-{token('name', 'Anna')}"


def test_an_address_still_looks_like_one() -> None:
    assert MASKING.email("Anna@Example.org") == f"mail-t1-{token('email', 'anna@example.org')}@masked.invalid"


def test_one_person_written_in_several_ways_is_one() -> None:
    assert MASKING.email("ZOE\u0308@x.org ") == MASKING.email("zoë@X.ORG")
    assert MASKING.name("Zoe\u0308") == MASKING.name("Zoë")


@pytest.mark.parametrize("blank", ["", " ", "\t\ufeff"])
def test_a_blank_address_is_none(blank: str) -> None:
    assert MASKING.email(blank) is None


def test_class_key_and_key_id_are_part_of_the_token() -> None:
    assert MASKING.name("a").split("-")[-1] != str(MASKING.email("a")).split("-")[-1].split("@")[0]
    assert Masking("another key of 16+", "t1").name("a") != MASKING.name("a")
    assert Masking(KEY, "t2").name("a") == MASKING.name("a").replace("-t1-", "-t2-")


@given(st.text(max_size=400))
def test_what_is_remembered_equals_what_is_computed(text: str) -> None:
    mask = MASKING.function(PiiClass.NAME)
    assert mask is not None
    assert mask(text) == mask(text) == MASKING.name(text)


def test_a_public_value_stays_as_it_is() -> None:
    assert MASKING.function(PiiClass.PUBLIC) is None


def test_a_fingerprint_is_keyed() -> None:
    assert MASKING.fingerprint(b"x") == MASKING.fingerprint(b"x")
    assert MASKING.fingerprint(b"x") != Masking("another key of 16+", "t1").fingerprint(b"x")


@pytest.mark.parametrize(("key", "key_id"), [("short", "k1"), (KEY, ""), (KEY, "k-1"), (KEY, "k 1")])
def test_a_bad_key_is_refused(key: str, key_id: str) -> None:
    with pytest.raises(ValueError, match="masking key"):
        Masking(key, key_id)
