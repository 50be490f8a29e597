"""Check whether each service is ready, for the start, the status, the metrics and the check.

A probe returns nothing if its service is ready, and otherwise raises what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import httpx
import psycopg
from confluent_kafka import KafkaException

from dataflix_clients import airflow, connect, kafka, masker, mlflow, postgres
from dataflix_clients.clickhouse_http import login_headers
from dataflix_clients.http_client import http
from dataflix_contract import Settings

Probe = Callable[[Settings], None]


class LoginRefusedError(Exception):
    """A server is there and does not take the settings' password: waiting does not help."""


#: What a probe raises while its server is not ready.
NOT_READY = (httpx.HTTPError, psycopg.Error, KafkaException, LookupError)


def probes(settings: Settings) -> dict[str, Probe]:
    """The probe of each service of the profile, by its name."""
    maskers = {
        f"masker-{worker}": partial(masker.check, worker=worker) for worker in range(settings.masker_workers)
    }
    core: dict[str, Probe] = {
        "postgres": postgresql,
        "kafka": kafka.check,
        "connect": connect.check,
        **maskers,
        "clickhouse": clickhouse,
    }
    if settings.profile == "core":
        return core
    return core | {
        "s3": s3,
        "mlflow": mlflow.check,
        "dbt-webhook": dbt_webhook,
        "backend": backend,
        "kafka-ui": kafka_ui,
        "airflow-api": partial(airflow.check, part="metadatabase"),
        "airflow-scheduler": partial(airflow.check, part="scheduler"),
        "airflow-dags": partial(airflow.check, part="dag_processor"),
    }


def postgresql(settings: Settings) -> None:
    """Check that the superuser can log in and gets an answer.

    Raises:
        LoginRefusedError: the password is not the one that the cluster was made with.
        psycopg.OperationalError: PostgreSQL is away.
    """
    try:
        with postgres.connect(settings, settings.postgres_admin, database="postgres") as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as fault:
        if "password authentication failed" in str(fault):
            raise LoginRefusedError(
                "PostgreSQL's data was made with another DATAFLIX_POSTGRES_ADMIN_PASSWORD or _USER:"
                " set the old one again, or delete the data with ./stop.sh --wipe"
            ) from fault
        raise


def clickhouse(settings: Settings) -> None:
    """Check that the owner of the schema can log in and gets an answer."""
    address = f"http://{settings.clickhouse_address}"
    http.get(f"{address}/ping").raise_for_status()
    http.post(
        address, content="SELECT 1", headers=login_headers(settings.clickhouse_owner)
    ).raise_for_status()


def s3(settings: Settings) -> None:
    """Check that the store answers; the step that makes the bucket tries its login."""
    http.get(f"{settings.s3_url}/health").raise_for_status()


def dbt_webhook(settings: Settings) -> None:
    """Check that the server takes runs."""
    http.get(f"{settings.dbt_url}/health/ready").raise_for_status()


def backend(settings: Settings) -> None:
    """Check that the API can serve and write."""
    http.get(f"{settings.backend_url}/health/ready").raise_for_status()


def kafka_ui(settings: Settings) -> None:
    """Check that the server hands out its first page; Kafka's own probe checks whether Kafka answers.

    The native stack and the containers run different programs here, which share no address for their health.
    """
    http.get(f"{settings.kafka_ui_url}/").raise_for_status()
