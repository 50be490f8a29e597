"""Ask a server a question, and get its answer or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx
import psycopg
from confluent_kafka import KafkaException

from dataflix_clients import kafka
from dataflix_contract import Settings
from dataflix_contract.faults import Fault, first_line

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question that its server did not answer."""

    fault: str


def ask(question: Callable[[Settings], T], settings: Settings) -> T | Unknown:
    """The answer, or why there is none."""
    try:
        return question(settings)
    except KafkaException as fault:
        return Unknown(kafka.reason(fault))
    except (psycopg.Error, httpx.HTTPError, LookupError, Fault) as fault:
        return Unknown(first_line(fault))
