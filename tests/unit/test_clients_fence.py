"""The decision whether a fence holds."""

import pytest

from dataflix_clients.fence import Blocker, Fence, is_over

FENCE = Fence(position=1000, next_xid=500)


@pytest.mark.parametrize(("oldest", "over"), [(499, False), (500, True), (501, True)])
def test_it_holds_when_every_older_transaction_has_ended(oldest: int, over: bool) -> None:
    assert is_over(FENCE, oldest) is over


def test_transaction_ids_do_not_wrap() -> None:
    beyond_32_bits = (1 << 32) + 5
    assert not is_over(Fence(1000, beyond_32_bits), 7)


def test_a_blocker_is_named_so_that_it_can_be_ended() -> None:
    assert Blocker(42, "dataflix", "idle in transaction", 90).description == (
        "pid 42 (dataflix, idle in transaction, open for 90 s)"
    )
    assert "pg_prepared_xacts" in Blocker(None, "dataflix", "prepared", 90).description
