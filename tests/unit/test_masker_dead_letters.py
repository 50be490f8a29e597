"""A dead letter says where and why, and nothing of what."""

from types import SimpleNamespace

import pytest

from dataflix_contract import Masking
from dataflix_stream_processors.dead_letter_record import DeadLetter, Position, Reason, Refused, dead_letter
from dataflix_stream_processors.dead_letter_replay import Reconciled, State, judge

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


def letter(
    offset: int, lsn: int | None = 100, fingerprint: str = "f", reason: str = "wrong_type"
) -> DeadLetter:
    return DeadLetter(
        Position("cdc.public.users", 0, offset), "users", reason, "", "u", lsn, 50, offset, 1, 1, fingerprint
    )


def states(*letters: DeadLetter, replayed: tuple[int, ...] = (), **reconciled: Reconciled) -> list[State]:
    by_key = {str(one.position).encode(): one for one in reversed(letters)}
    sent = {str(letters[place].position).encode() for place in replayed}
    return [entry.state for entry in judge(by_key, sent, reconciled)]


def test_a_message_that_is_refused_again_for_the_same_reason_says_so() -> None:
    assert states(letter(1), letter(2), replayed=(0,)) == [State.SENT_AGAIN, State.REFUSED_AGAIN]
    three = (letter(1), letter(2), letter(3))
    assert states(*three, replayed=(0, 1)) == [State.SENT_AGAIN, State.SENT_AGAIN, State.REFUSED_AGAIN]


def test_another_message_or_another_reason_is_not_refused_again() -> None:
    assert states(letter(1), letter(2, fingerprint="g"), replayed=(0,))[1] is State.WAITS
    assert states(letter(1), letter(2, reason="missing_column"), replayed=(0,))[1] is State.WAITS
    assert states(letter(1), letter(2)) == [State.WAITS, State.WAITS]


def test_a_letter_of_a_change_that_a_reconciliation_has_seen_waits_no_more() -> None:
    assert states(letter(1, lsn=100), users=Reconciled(100, 0)) == [State.RECONCILED]
    assert states(letter(1, lsn=101), users=Reconciled(100, 1_000)) == [State.WAITS]
    assert states(letter(1, lsn=100), ratings=Reconciled(100, 1_000)) == [State.WAITS]


def test_a_letter_without_a_position_is_judged_by_its_time() -> None:
    assert states(letter(1, lsn=None), users=Reconciled(1, 51)) == [State.RECONCILED]
    assert states(letter(1, lsn=None), users=Reconciled(1, 50)) == [State.WAITS]
