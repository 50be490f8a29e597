"""Parts of a view that are asked of different servers: together, seldom, and without waiting for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from dataflix_clients.answers import Unknown, ask
from dataflix_contract import Settings

_LATE = Unknown("no answer in time")
#: A busy server's last answer is better than none, for so long.
_STALE_SECONDS = 10.0

T_co = TypeVar("T_co", covariant=True)


class CachedProbe(Generic[T_co]):
    """A question to one server, and its last answer. For one thread at a time.

    Args:
        server: whom people will look for when there is no answer.
        question: what to ask.
        seconds: how long an answer is good.
    """

    def __init__(self, server: str, question: Callable[[Settings], T_co], seconds: float) -> None:
        self.server = server
        self._question = question
        self._seconds = seconds
        self._asked: Future[T_co | Unknown] | None = None
        self._answer: T_co | Unknown = _LATE
        self._until = 0.0

    def begin(self, threads: ThreadPoolExecutor, settings: Settings) -> Future[T_co | Unknown] | None:
        """Ask, unless the last answer is still good or the last question still open; what was begun."""
        if self._asked is not None or time.monotonic() < self._until:
            return None
        self._asked = threads.submit(self._ask, settings)
        return self._asked

    def end(self) -> T_co | Unknown:
        """The last answer; while a question has been open for long, that there is none."""
        if self._asked is None:
            return self._answer
        if not self._asked.done():
            return self._answer if time.monotonic() < self._until + _STALE_SECONDS else _LATE
        asked, self._asked = self._asked, None
        self._until = time.monotonic() + self._seconds
        self._answer = asked.result()
        return self._answer

    def _ask(self, settings: Settings) -> T_co | Unknown:
        try:
            return ask(self._question, settings)
        except ValueError:  # what came is no JSON, or another one than expected
            return Unknown("an answer that nobody understands")
