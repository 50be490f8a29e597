"""How long a training may take."""

import signal

import pytest

from dataflix_contract.faults import Fault
from dataflix_training.training_run import limited, seconds_allowed


def test_the_time_that_a_training_may_take_follows_the_number_of_ratings() -> None:
    assert seconds_allowed(100_000) < 30 * 60
    assert 80 * 60 <= seconds_allowed(25_000_000) <= 120 * 60


def test_what_takes_longer_is_ended_with_advice_and_what_does_not_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Fault, match=r"1,000 ratings .* see what else is running"), limited(0.01, 1000):
        _for_ever()
    with limited(60, 1000):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before


def _for_ever() -> None:
    while True:
        pass
