"""What a check answers, which faults of a server are an answer, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import clickhouse_connect.driver.exceptions
import confluent_kafka
import httpx
import psycopg

from dataflix_checker.pipeline import PipelineError
from dataflix_checker.row_trace import TraceTimeout
from dataflix_connectors.topic_admin import away
from dataflix_contract import Settings
from dataflix_contract.terminal import cannot_use

#: What a server that is away or refuses raises; each is reported as a failed check.
EXPECTED_FAULTS = (
    psycopg.Error,
    confluent_kafka.KafkaException,
    httpx.HTTPError,
    clickhouse_connect.driver.exceptions.Error,
    TraceTimeout,
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


def describe(fault: Exception, settings: Settings) -> str | None:
    """The fault in words: for a server that cannot be used, which one it is, where, and what to do.

    None: it is none of those that are expected.
    """
    match fault:
        case psycopg.OperationalError(sqlstate=None):  # with a state, it is an answer
            return cannot_use("PostgreSQL", f"{settings.postgres_host}:{settings.postgres_port}", fault)
        case confluent_kafka.KafkaException():
            return str(away(settings, fault))
        case clickhouse_connect.driver.exceptions.Error():
            place = f"{settings.clickhouse_host}:{settings.clickhouse_http_port}"
            return cannot_use("ClickHouse", place, fault)
        case httpx.TransportError():
            names = {settings.airflow_url: "Airflow", settings.backend_url: "the API"}
            place = f"http://{fault.request.url.netloc.decode()}"
            return cannot_use(names.get(place, "a server"), place, fault)
    return str(fault) if isinstance(fault, EXPECTED_FAULTS) else None


def first_line(fault: BaseException) -> str:
    """The fault in one line."""
    lines = str(fault).splitlines()
    return lines[0] if lines else type(fault).__name__
