"""The order in which steps run."""

import threading
from collections.abc import Callable

import pytest

from dataflix_stack.steps import Step, run_steps

Action = Callable[[threading.Event], None]


class Recorder:
    """Writes down what happened to which step."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def begin(self, name: str) -> None:
        self.lines.append(("begin", name))

    def done(self, name: str) -> None:
        self.lines.append(("done", name))

    def failed(self, name: str) -> None:
        self.lines.append(("failed", name))


def nothing(_: threading.Event) -> None:
    """Succeed at once."""


def test_a_step_waits_for_what_it_needs() -> None:
    recorder = Recorder()
    run_steps([Step("b", ["a"], nothing), Step("a", [], nothing)], recorder)
    assert recorder.lines == [("begin", "a"), ("done", "a"), ("begin", "b"), ("done", "b")]


def test_independent_steps_run_together() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_: threading.Event) -> None:
        meeting.wait()

    run_steps([Step("a", [], meet), Step("b", [], meet)], Recorder())


def test_a_failure_stops_the_others_and_what_needs_them() -> None:
    recorder = Recorder()

    def fail(_: threading.Event) -> None:
        raise ValueError("broken")

    def wait(abandoned: threading.Event) -> None:
        assert abandoned.wait(10)

    with pytest.raises(ValueError, match="broken"):
        run_steps([Step("bad", [], fail), Step("slow", [], wait), Step("after", ["bad"], nothing)], recorder)
    assert ("failed", "bad") in recorder.lines
    assert ("begin", "after") not in recorder.lines
