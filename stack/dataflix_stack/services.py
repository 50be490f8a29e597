"""Describe every server of the stack: its command, environment, ports, needs, and how it stops. No I/O."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataflix_contract import Settings
from dataflix_stack.paths import Account, Layout
from dataflix_stack.servers import Servers

#: Name of the variable in which Connect's ``${env:...}`` finds Debezium's password.
PASSWORD_VARIABLE = "DATAFLIX_DEBEZIUM_PASSWORD"  # noqa: S105 - the name, not the password

_JAVA_OPTIONS = (
    "-Xms48m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)


#: For servers that import many large packages before they answer; on a loaded machine that takes minutes.
_PATIENT_SECONDS = 600


#: The batch has a lower priority than the stream: its servers start at the same time, and it trains while
#: people rate films.
BATCH_NICE = 5


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a service listens on, and the setting that changes it."""

    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Service:
    """One supervised process.

    Attributes:
        needs: steps that must be done before it starts.
        package: the package of Dataflix that it runs; it is restarted when the package's code changes.
        nice: its niceness; a greater one leaves busy processors to other services.
        ready_seconds: how long it may take until it answers.
    """

    name: str
    argv: Sequence[str]
    ports: Sequence[Port]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    postgres_cluster: Path | None = None
    needs: Sequence[str] = ()
    package: str = ""
    priority: int = 100
    nice: int = 0
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    ready_seconds: int = 300


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """The values from which every service is described.

    Attributes:
        program: finds one of Dataflix's programs by name.
        environment: the variables by which those programs find their settings.
    """

    settings: Settings
    layout: Layout
    servers: Servers
    account: Account | None
    program: Callable[[str], Path]
    environment: Mapping[str, str]


def masker_names(settings: Settings) -> list[str]:
    """The names of the masker workers."""
    return [f"masker-{worker}" for worker in range(settings.masker_workers)]


def services(around: ServiceContext) -> list[Service]:
    """Every server of the stack, in the order in which they are shown."""
    maskers = [_masker(around, worker) for worker in range(around.settings.masker_workers)]
    stream = [_postgres(around), _kafka(around), _clickhouse(around), _connect(around), *maskers]
    if around.settings.profile == "core":
        return stream
    batch = [_s3(around), _mlflow(around), _dbt_webhook(around), *_airflow(around)]
    return [*stream, _backend(around), _kafka_ui(around), *(replace(one, nice=BATCH_NICE) for one in batch)]


def _postgres(around: ServiceContext) -> Service:
    layout = around.layout
    config = layout.conf / "postgresql.conf"
    return Service(
        name="postgres",
        argv=[
            str(around.servers.postgres_bin / "postgres"),
            "-D",
            str(layout.postgres),
            f"--config-file={config}",
        ],
        ports=[Port(around.settings.postgres_port, "DATAFLIX_POSTGRES_PORT")],
        cwd=layout.postgres,
        environment={"TZ": "UTC"},
        account=around.account,
        postgres_cluster=layout.postgres,
        stop_signal="INT",
        stop_seconds=30,
    )


def _kafka(around: ServiceContext) -> Service:
    settings = around.settings
    return Service(
        name="kafka",
        argv=[
            *_java(around, "-Xmx320m"),
            "kafka.Kafka",
            str(around.layout.conf / "kafka.properties"),
        ],
        ports=[
            Port(settings.kafka_port, "DATAFLIX_KAFKA_PORT"),
            Port(settings.kafka_controller_port, "DATAFLIX_KAFKA_CONTROLLER_PORT"),
        ],
        cwd=around.layout.kafka,
        stop_seconds=30,
    )


def _clickhouse(around: ServiceContext) -> Service:
    settings = around.settings
    return Service(
        name="clickhouse",
        argv=[sys.executable, "-m", "dataflix_stack.clickhouse_server"],
        ports=[
            Port(settings.clickhouse_http_port, "DATAFLIX_CLICKHOUSE_HTTP_PORT"),
            Port(settings.clickhouse_tcp_port, "DATAFLIX_CLICKHOUSE_TCP_PORT"),
        ],
        cwd=around.layout.clickhouse,
        environment=around.environment,
        priority=300,
        stop_seconds=20,
    )


def _connect(around: ServiceContext) -> Service:
    settings = around.settings
    return Service(
        name="connect",
        argv=[
            *_java(around, "-Xmx384m"),
            "org.apache.kafka.connect.cli.ConnectDistributed",
            str(around.layout.conf / "connect.properties"),
        ],
        ports=[Port(settings.connect_port, "DATAFLIX_CONNECT_PORT")],
        cwd=around.layout.run,
        environment={PASSWORD_VARIABLE: settings.debezium_password.get_secret_value()},
        needs=["kafka"],
        priority=400,
    )


def _masker(around: ServiceContext, worker: int) -> Service:
    return Service(
        name=f"masker-{worker}",
        argv=[str(around.program("dataflix-masker")), "--worker", str(worker)],
        ports=[Port(around.settings.masker_port + worker, "DATAFLIX_MASKER_PORT")],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["topics"],
        package="stream_processors",
        priority=350,
    )


def _s3(around: ServiceContext) -> Service:
    settings = around.settings
    return Service(
        name="s3",
        argv=[sys.executable, "-m", "dataflix_stack.s3_server"],
        ports=[
            Port(settings.s3_port, "DATAFLIX_S3_PORT"),
            Port(settings.s3_console_port, "DATAFLIX_S3_CONSOLE_PORT"),
        ],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["versitygw"],
        priority=200,
    )


def _mlflow(around: ServiceContext) -> Service:
    return Service(
        name="mlflow",
        argv=[str(around.program("dataflix-mlflow"))],
        ports=[Port(around.settings.mlflow_port, "DATAFLIX_MLFLOW_PORT")],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["databases"],
        package="tracking",
        priority=500,
        ready_seconds=_PATIENT_SECONDS,
    )


def _dbt_webhook(around: ServiceContext) -> Service:
    return Service(
        name="dbt-webhook",
        argv=[str(around.program("dataflix-dbt-webhook"))],
        ports=[Port(around.settings.dbt_port, "DATAFLIX_DBT_PORT")],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["warehouse"],
        package="dbt",
        priority=500,
        stop_seconds=30,
        ready_seconds=_PATIENT_SECONDS,
    )


def _backend(around: ServiceContext) -> Service:
    return Service(
        name="backend",
        argv=[str(around.program("dataflix-backend"))],
        ports=[Port(around.settings.backend_port, "DATAFLIX_BACKEND_PORT")],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["migrate"],
        package="backend",
        priority=700,
        stop_seconds=20,
    )


def _kafka_ui(around: ServiceContext) -> Service:
    return Service(
        name="kafka-ui",
        argv=[str(around.program("dataflix-kafka-ui"))],
        ports=[Port(around.settings.kafka_ui_port, "DATAFLIX_KAFKA_UI_PORT")],
        cwd=around.layout.run,
        environment=around.environment,
        needs=["topics"],
        package="kafka_ui",
        priority=800,
    )


def _airflow(around: ServiceContext) -> list[Service]:
    """Airflow's three parts; the scheduler runs the tasks."""
    ports = {"airflow-api": [Port(around.settings.airflow_port, "DATAFLIX_AIRFLOW_PORT")]}
    parts = {
        "airflow-api": "api-server",
        "airflow-scheduler": "scheduler",
        "airflow-dags": "dag-processor",
    }
    return [
        Service(
            name=name,
            argv=[str(around.program("dataflix-airflow")), command],
            ports=ports.get(name, []),
            cwd=around.layout.run,
            environment=around.environment,
            needs=["airflow-migrate"],
            package="airflow",
            priority=600,
            stop_seconds=20,
            ready_seconds=_PATIENT_SECONDS,
        )
        for name, command in parts.items()
    ]


def _java(around: ServiceContext, heap: str) -> list[str]:
    return [
        str(around.servers.java),
        heap,
        *_JAVA_OPTIONS,
        f"-Dlog4j2.configurationFile={around.layout.conf / 'log4j2.properties'}",
        f"-Dkafka.logs.dir={around.layout.logs}",
        "-cp",
        f"{around.servers.jars}{os.sep}*",
    ]
