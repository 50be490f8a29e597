"""A dead letter says where and why, and nothing of what."""

from types import SimpleNamespace

import pytest

from dataflix_contract import Masking
from dataflix_stream_processors.dead_letters import DeadLetter, dead_letter
from dataflix_stream_processors.envelope import Refused
from dataflix_stream_processors.refusals import Reason

MASKING = Masking("a key for the unit tests", "t1")
REFUSED = Refused(Reason.WRONG_TYPE, "after.name: expected text, got int", "c", 100)


def record(value: bytes | None = b"secret", key: bytes | None = b"key") -> SimpleNamespace:
    return SimpleNamespace(topic="cdc.public.users", partition=1, offset=5, timestamp=9, key=key, value=value)


def test_holds_no_byte_of_the_message() -> None:
    text = dead_letter(REFUSED, record(), "users", MASKING).to_json()
    assert b"secret" not in text


def test_survives_the_topic() -> None:
    letter = dead_letter(REFUSED, record(), "users", MASKING, now=3.0)
    assert DeadLetter.from_json(letter.to_json()) == letter
    assert (letter.refused_ms, letter.key_bytes, letter.value_bytes) == (3000, 3, 6)
    assert str(letter.position) == "cdc.public.users:1:5"


def test_equal_messages_have_equal_fingerprints() -> None:
    same = [dead_letter(REFUSED, record(), "users", MASKING).fingerprint for _ in range(2)]
    other = dead_letter(REFUSED, record(b"other"), "users", MASKING).fingerprint
    assert same[0] == same[1] != other


def test_a_missing_key_is_told_from_an_empty_one() -> None:
    assert dead_letter(REFUSED, record(key=None), "users", MASKING).key_bytes is None
    assert dead_letter(REFUSED, record(key=b""), "users", MASKING).key_bytes == 0


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"position":1}', b'{"position":{"topic":"a"}}'])
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a dead letter"):
        DeadLetter.from_json(data)
