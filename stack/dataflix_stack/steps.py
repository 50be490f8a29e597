"""Run steps as early and as parallel as what they need allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Protocol


class StepListener(Protocol):
    """Who is told of each step's progress."""

    def begin(self, name: str) -> None:
        """The step has begun."""

    def done(self, name: str) -> None:
        """The step is done."""

    def failed(self, name: str) -> None:
        """The step has failed."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, after the steps that it needs.

    Attributes:
        action: is given an event; when it is set, others failed and it should return soon.
    """

    name: str
    needs: Sequence[str]
    action: Callable[[threading.Event], None]


def run_steps(steps: Sequence[Step], listener: StepListener) -> None:
    """Run them all; the first failure stops the others and is raised."""
    by_name = {step.name: step for step in steps}
    order = TopologicalSorter({step.name: step.needs for step in steps})
    order.prepare()
    abandoned = threading.Event()
    with ThreadPoolExecutor(len(steps)) as pool:
        running: dict[Future[None], str] = {}
        try:
            while order.is_active():
                for name in order.get_ready():
                    listener.begin(name)
                    running[pool.submit(by_name[name].action, abandoned)] = name
                _finish_one(running, order, listener)
        except BaseException:
            abandoned.set()
            raise


def _finish_one(
    running: dict[Future[None], str], order: TopologicalSorter[str], listener: StepListener
) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        name = running.pop(future)
        try:
            future.result()
        except BaseException:
            listener.failed(name)
            raise
        listener.done(name)
        order.done(name)
