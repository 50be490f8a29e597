"""When is a difference the stream's fault?"""

from collections.abc import Iterator

import pytest

from dataflix_contract.faults import Fault
from dataflix_reconciliation.report import Stream
from dataflix_reconciliation.stream_catchup import STILL_STREAM_S, Outcome, StreamReading, wait_for_stream


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def followed(looks: Iterator[StreamReading], timeout_s: float = 60.0) -> tuple[Outcome, list[str], float]:
    clock, told = Clock(), list[str]()
    outcome = wait_for_stream(looks, timeout_s, told.append, clock=clock, pause=clock.pause)
    return outcome, told, clock.now - 100.0


def endless(*, moving: bool) -> Iterator[StreamReading]:
    number = 0
    while True:
        number += moving
        yield StreamReading("things are to be done", number)


def test_a_stream_that_has_passed_needs_no_time() -> None:
    assert followed(iter(())) == (Outcome(Stream.PASSED), [], 0.0)


def test_a_stream_that_comes_in_time_has_passed() -> None:
    looks = iter([StreamReading("12 to go", 12), StreamReading("3 to go", 3)] * 4)
    outcome, told, _ = followed(looks)
    assert outcome.stream is Stream.PASSED
    assert told == ["waiting for the stream: 12 to go"]


def test_a_stream_that_moves_gets_the_time_it_was_given() -> None:
    outcome, _, seconds = followed(endless(moving=True), timeout_s=30)
    assert outcome.stream is Stream.BEHIND
    assert "things are to be done" in outcome.reason
    assert seconds == pytest.approx(30, abs=1)


def test_a_stream_that_does_not_move_is_given_up() -> None:
    outcome, _, seconds = followed(endless(moving=False), timeout_s=600)
    assert outcome.stream is Stream.DOWN
    assert seconds == pytest.approx(STILL_STREAM_S, abs=1)


def test_a_stream_that_cannot_be_asked_is_down() -> None:
    def looks() -> Iterator[StreamReading]:
        yield StreamReading("12 to go", 12)
        raise Fault("Kafka does not answer")

    assert followed(looks())[0] == Outcome(Stream.DOWN, "Kafka does not answer")
