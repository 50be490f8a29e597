"""How many changes a second pass the masker: from its counters, twice read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from dataflix_clients import masker
from dataflix_contract import Settings

_EVENTS = "masker_events"
#: Between two readings, at least, and at most: an average over more is no figure of now.
_LEAST_SECONDS = 0.5
_MOST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Reading:
    """All maskers' messages, ever, at a moment of this process's monotonic clock."""

    at: float
    events: float


class Rate:
    """Events a second since it was asked last; the first time, over half a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: Reading | None = None

    def __call__(self, settings: Settings) -> float:
        """Read the counters and compare.

        Raises:
            httpx.HTTPError: a masker is away.
        """
        if self._before is None or self._clock() - self._before.at > _MOST_SECONDS:
            self._before = self._read(settings)
        if (missing := self._before.at + _LEAST_SECONDS - self._clock()) > 0:
            time.sleep(missing)
        now = self._read(settings)
        before, self._before = self._before, now
        return between(before, now)

    def _read(self, settings: Settings) -> Reading:
        pages = masker.read_metrics(settings)
        return Reading(self._clock(), sum(map(events_of, pages.values())))


def between(before: Reading, now: Reading) -> float:
    """Events a second; a masker that was started anew counts from zero."""
    events = now.events - before.events
    return max(events, 0.0) / (now.at - before.at)


def events_of(page: str) -> float:
    """How many messages a masker has read, by its metrics page."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        if family.name == _EVENTS
        for sample in family.samples
        if sample.name == f"{_EVENTS}_total"
    )
