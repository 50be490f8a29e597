"""The errors that servers raise when they are away or refuse, and how to explain them to people.

The sentence with the advice is ``cannot_use`` in ``dataflix_contract.faults``.
"""

from __future__ import annotations

import clickhouse_connect.driver.exceptions
import httpx
import psycopg
from confluent_kafka import KafkaException

from dataflix_clients import kafka, postgres
from dataflix_contract import Settings
from dataflix_contract.faults import Fault, cannot_use

#: Errors that a program can report without ending.
SERVER_ERRORS = (
    psycopg.Error,
    KafkaException,
    httpx.HTTPError,
    clickhouse_connect.driver.exceptions.Error,
    Fault,
    LookupError,  # raised if another server answers, or if a part is not ready
)


def describe(fault: Exception, settings: Settings) -> str | None:
    """The fault in words: for a server that cannot be used, which one it is, where, and what to do.

    None: it is none of those that are expected.
    """
    match fault:
        case Fault():
            return str(fault)
        case KafkaException():
            return str(kafka.unreachable(settings, fault))
        case psycopg.Error():
            return postgres.describe(fault)
        case clickhouse_connect.driver.exceptions.Error():
            return cannot_use("ClickHouse", settings.clickhouse_address, fault)
        case httpx.TransportError():
            names = {settings.airflow_url: "Airflow", settings.backend_url: "the API"}
            place = f"http://{fault.request.url.netloc.decode()}"
            return cannot_use(names.get(place, "a server"), place, fault)
    return str(fault) if isinstance(fault, SERVER_ERRORS) else None
