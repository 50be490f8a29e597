"""What a check answers, and which faults of a server are an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import clickhouse_connect.driver.exceptions
import confluent_kafka
import httpx
import psycopg

from dataflix_checker.journey import JourneyTimeout
from dataflix_checker.pipeline import PipelineError

#: What a server that is away or refuses raises; each is reported as a failed check.
EXPECTED_FAULTS = (
    psycopg.Error,
    confluent_kafka.KafkaException,
    httpx.HTTPError,
    clickhouse_connect.driver.exceptions.Error,
    JourneyTimeout,
    PipelineError,
    LookupError,  # what a probe or a health question misses
)


@dataclass(frozen=True)
class Finding:
    """The answer to one check.

    Attributes:
        check: what was asked.
        ok: whether all is well.
        detail: what was seen; when not ok, what to do.
        milliseconds: for a change that was followed: from its commit to each stage.
    """

    check: str
    ok: bool
    detail: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)


def guarded(name: str, question: Callable[[], tuple[bool, str]]) -> Finding:
    """The answer to a question; a server that does not answer is one."""
    try:
        ok, detail = question()
    except EXPECTED_FAULTS as fault:
        return Finding(name, ok=False, detail=first_line(fault))
    return Finding(name, ok, detail)


def first_line(fault: BaseException) -> str:
    """The fault in one line."""
    lines = str(fault).splitlines()
    return lines[0] if lines else type(fault).__name__
