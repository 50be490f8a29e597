"""Whether a server really answers: each probe returns nothing, or raises what is missing."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from dataflix_contract import Settings
from dataflix_contract.postgres import parameters

Probe = Callable[[Settings], None]


class LoginRefusedError(Exception):
    """A server is there and does not take the settings' password: waiting does not help."""


_SECONDS = 3
#: Every server speaks plain HTTP. Without a context of ours, httpx would read the machine's certificates
#: for each question, which takes more processor time than the answer.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: For questions to the servers; a connection each, so that a restarted server meets no old one.
http = httpx.Client(
    timeout=_SECONDS, trust_env=False, verify=_NO_TLS, limits=httpx.Limits(max_keepalive_connections=0)
)
_DEBEZIUM = "io.debezium.connector.postgresql.PostgresConnector"
#: What a probe raises while its server is not ready.
NOT_READY = (httpx.HTTPError, psycopg.Error, KafkaException, LookupError)


def parsed(answer: httpx.Response) -> Any:
    """The answer's JSON.

    Raises:
        LookupError: it is none, because another server than the wanted one answers there.
    """
    try:
        return answer.json()
    except ValueError as fault:
        place = answer.request.url.netloc.decode()
        raise LookupError(f"another server answers at {place}: see the hosts and ports in .env") from fault


def postgres(settings: Settings) -> None:
    """The superuser logs in and gets an answer.

    Raises:
        LoginRefusedError: the password is not the one that the cluster was made with.
    """
    try:
        with postgres_connection(settings, "postgres") as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as fault:
        if "password authentication failed" in str(fault):
            raise LoginRefusedError(
                "PostgreSQL's data was made with another DATAFLIX_POSTGRES_ADMIN_PASSWORD or _USER:"
                " set the old one again, or delete the data with ./stop.sh --wipe"
            ) from fault
        raise


def postgres_connection(settings: Settings, database: str) -> psycopg.Connection[Any]:
    """A connection of the superuser's that commits each statement."""
    return psycopg.connect(
        **parameters(
            settings.postgres_server,
            settings.postgres_admin_user,
            settings.postgres_admin_password,
            program="dataflix-status",
            connect_seconds=_SECONDS,
            database=database,
        ),
        autocommit=True,
    )


def kafka(settings: Settings) -> None:
    """The broker hands out metadata and knows its controller."""
    admin = AdminClient(settings.kafka_client | {"log_level": 0})
    if admin.list_topics(timeout=_SECONDS).controller_id < 0:
        raise LookupError("no controller yet")


def clickhouse(settings: Settings) -> None:
    """The owner of the schema logs in and gets an answer."""
    address = f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}"
    http.get(f"{address}/ping").raise_for_status()
    user = {
        "X-ClickHouse-User": settings.clickhouse_admin_user,
        "X-ClickHouse-Key": settings.clickhouse_admin_password.get_secret_value(),
    }
    http.post(address, content="SELECT 1", headers=user).raise_for_status()


def connect(settings: Settings) -> None:
    """The worker has joined its group and offers Debezium."""
    http.get(f"{settings.connect_url}/health").raise_for_status()
    plugins = http.get(f"{settings.connect_url}/connector-plugins").raise_for_status()
    if not any(plugin["class"] == _DEBEZIUM for plugin in parsed(plugins)):
        raise LookupError("Kafka Connect does not offer Debezium's PostgreSQL connector")


def masker(worker: int) -> Probe:
    """The probe of one masker: it has its partitions and works."""

    def probe(settings: Settings) -> None:
        http.get(f"{settings.masker_url(worker)}/health/ready").raise_for_status()

    return probe


def s3(settings: Settings) -> None:
    """The store answers; its login is tried by whoever makes the bucket."""
    http.get(f"{settings.s3_url}/health").raise_for_status()


def mlflow(settings: Settings) -> None:
    """MLflow answers from its database."""
    experiments = f"{settings.mlflow_url}/api/2.0/mlflow/experiments/search"
    http.post(experiments, json={"max_results": 1}).raise_for_status()


def dbt_webhook(settings: Settings) -> None:
    """The server takes runs."""
    http.get(f"{settings.dbt_url}/health/ready").raise_for_status()


def backend(settings: Settings) -> None:
    """The API can serve and write."""
    http.get(f"{settings.backend_url}/health/ready").raise_for_status()


def kafka_ui(settings: Settings) -> None:
    """The server hands out its first page; whether Kafka answers is Kafka's probe.

    Natively it is another program than in containers: they have no address for their health in common.
    """
    http.get(f"{settings.kafka_ui_url}/").raise_for_status()


def airflow(part: str) -> Probe:
    """The probe of one part of Airflow, by the name that its API gives it."""

    def probe(settings: Settings) -> None:
        answer = http.get(f"{settings.airflow_url}/api/v2/monitor/health")
        status = parsed(answer.raise_for_status())[part]["status"]
        if status != "healthy":
            raise LookupError(f"Airflow says that its {part} is {status or 'not there'}")

    return probe


def probes(settings: Settings) -> dict[str, Probe]:
    """Each service's probe, by its name."""
    fixed: dict[str, Probe] = {
        "postgres": postgres,
        "kafka": kafka,
        "clickhouse": clickhouse,
        "connect": connect,
        "s3": s3,
        "mlflow": mlflow,
        "dbt-webhook": dbt_webhook,
        "backend": backend,
        "kafka-ui": kafka_ui,
        "airflow-api": airflow("metadatabase"),
        "airflow-scheduler": airflow("scheduler"),
        "airflow-dags": airflow("dag_processor"),
    }
    return fixed | {f"masker-{worker}": masker(worker) for worker in range(settings.masker_workers)}
