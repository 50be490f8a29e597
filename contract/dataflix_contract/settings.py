"""Every setting of the stack, read from the environment and from ``.env``.

Each field is ``DATAFLIX_<NAME>`` in the environment, which wins over the file, and the file over the
defaults here. In the file most fields have the same name; those that users know from elsewhere, such as
``POSTGRES_PASSWORD``, have that name there. ``dataflix_contract.settings_file`` reads the file.

``.env.example`` is printed by ``python -m dataflix_contract.env_example``, and a test holds the two together.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dataflix_contract import settings_file
from dataflix_contract.settings_file import (
    AIRFLOW_ADDRESS,
    ENV_PREFIX,
    FILE_NAMES,
    S3_ADDRESS,
    SettingsError,
    chosen_file,
)

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "load_settings", "read_settings", "render_env_example"]

Port = Annotated[int, Field(ge=1, le=65535)]
KeyText = Annotated[SecretStr, Field(min_length=16)]
KeyId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$")]

#: How a client proves who it is to a Kafka that asks.
KAFKA_SASL_MECHANISM = "SCRAM-SHA-512"
LOCAL_ONLY_MASKING_KEY = "local-only-masking-key-change-me"
LOCAL_ONLY_AIRFLOW_SECRET = "local-only-airflow-secret-of-32-bytes-change-me"  # noqa: S105 - public
#: Lines of the file that stand for no one setting, after the setting that they follow.
_LINES_AFTER = {
    "airflow_db_password": (
        AIRFLOW_ADDRESS,
        "postgresql+psycopg2://airflow:airflow@airflow-db:5432/airflow",
        (
            "Airflow's own database, its owner and the owner's password. The database is in Dataflix's\n"
            "PostgreSQL, which is called airflow-db:5432 here, wherever it listens."
        ),
    ),
    "s3_bucket": (
        S3_ADDRESS,
        "http://minio:9000",
        (
            "Where MLflow finds the S3 store. It is always Dataflix's own, which is called minio:9000 here,\n"
            "wherever it listens."
        ),
    ),
}


class Settings(BaseSettings):
    """The stack's settings; each field is ``DATAFLIX_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    bind: str = Field("127.0.0.1", description="Address that every server listens on.")
    profile: Literal["core", "full"] = Field(
        "full",
        description="What is started: the stream only (core), or the daily batch as well (full).",
    )

    # --- PostgreSQL: the source
    postgres_host: str = Field("127.0.0.1", description="Where clients find PostgreSQL.")
    postgres_port: Port = Field(5432, description="PostgreSQL's port.")
    postgres_db: str = Field("dataflix_db", description="The database.")
    postgres_user: str = Field("dataflix", description="Owner of the tables.")
    postgres_password: SecretStr = Field(SecretStr("dataflix123"), description="The owner's password.")
    postgres_admin_user: str = Field(
        "postgres", description="Superuser; used to set up, by nothing that runs."
    )
    postgres_admin_password: SecretStr = Field(SecretStr("postgres"), description="The superuser's password.")
    postgres_api_user: str = Field(
        "dataflix_api", description="The backend's role: reads and writes rows of the tables, no more."
    )
    postgres_api_password: SecretStr = Field(
        SecretStr("dataflix_api"), description="The backend's role's password."
    )
    debezium_user: str = Field("debezium", description="Replication role; reads the published tables.")
    debezium_password: SecretStr = Field(
        SecretStr("debezium"), description="The replication role's password."
    )

    # --- Kafka and Kafka Connect
    kafka_host: str = Field("127.0.0.1", description="Where clients find Kafka.")
    kafka_port: Port = Field(9092, description="Kafka's port.")
    kafka_controller_port: Port = Field(9093, description="Kafka's KRaft controller port.")
    kafka_user: str = Field(
        "", description="Login at a Kafka that asks for one (SCRAM-SHA-512, over TLS); empty: none."
    )
    kafka_password: SecretStr = Field(SecretStr(""), description="The login's password.")
    kafka_ca_file: Path | None = Field(
        None, description="Certificates that vouch for such a Kafka; empty: the system's."
    )
    kafka_partitions: int = Field(
        4, ge=1, le=64, description="Partitions of each data topic: the most maskers at work."
    )
    raw_retention_hours: int = Field(
        24, ge=1, description="How long the raw topics keep personal data, in hours."
    )
    connect_host: str = Field("127.0.0.1", description="Where clients find Kafka Connect.")
    connect_port: Port = Field(8083, description="Kafka Connect's REST port.")

    # --- Masker
    masking_key: KeyText = Field(
        SecretStr(LOCAL_ONLY_MASKING_KEY),
        description=(
            "Secret of the pseudonyms, 16 characters or more. This default is public and good\n"
            "for trying Dataflix on your own machine only: python3 -c 'import secrets;"
            " print(secrets.token_hex(32))'"
        ),
    )
    masking_key_id: KeyId = Field("k1", description="Public name of the key, part of every pseudonym.")
    masker_host: str = Field("127.0.0.1", description="Where the checker finds the masker.")
    masker_port: Port = Field(6066, description="First masker's metrics and health port; worker n is at +n.")
    masker_workers: int = Field(1, ge=1, le=64, description="Masker processes (up to the partitions).")
    masker_max_bytes: int = Field(
        262_144, ge=1024, description="Largest raw message that is masked, in bytes."
    )

    # --- ClickHouse: the warehouse
    clickhouse_host: str = Field("127.0.0.1", description="Where clients find ClickHouse.")
    clickhouse_http_port: Port = Field(8123, description="ClickHouse's HTTP port.")
    clickhouse_tcp_port: Port = Field(9000, description="ClickHouse's native port.")
    clickhouse_cluster: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]*$",
        description=(
            "Replicas that keep the warehouse together, by the name that ClickHouse's remote_servers has\n"
            "for them; empty: one server. See docs/kubernetes.md."
        ),
    )
    clickhouse_admin_user: str = Field("dataflix_admin", description="Owns the schema.")
    clickhouse_admin_password: SecretStr = Field(
        SecretStr("dataflix_admin"), description="The owner's password."
    )
    clickhouse_user: str = Field("default", description="People and programs that only read.")
    clickhouse_password: SecretStr = Field(SecretStr("clickhouse123"), description="The readers' password.")

    clickhouse_batch_user: str = Field(
        "dataflix_batch", description="The daily batch: loads and repairs raw, keeps its reports in ops."
    )
    clickhouse_batch_password: SecretStr = Field(
        SecretStr("dataflix_batch"), description="The daily batch's password."
    )
    clickhouse_dbt_user: str = Field("dataflix_dbt", description="dbt: reads raw, owns analytics.")
    clickhouse_dbt_password: SecretStr = Field(SecretStr("dataflix_dbt"), description="dbt's password.")

    # --- Airflow: the daily batch
    batch_schedule: str = Field(
        "30 3 * * *",
        pattern=r"^(off|\S+( \S+){4})$",
        description="When the daily batch runs by itself: a cron expression, in UTC, or off.",
    )
    airflow_host: str = Field("127.0.0.1", description="Where clients find Airflow.")
    airflow_port: Port = Field(8080, description="Airflow's pages and API.")
    airflow_user: str = Field("admin", description="Airflow's login.")
    airflow_password: SecretStr = Field(SecretStr("admin"), description="The login's password.")
    airflow_secret: KeyText = Field(
        SecretStr(LOCAL_ONLY_AIRFLOW_SECRET),
        description=(
            "Secret that Airflow's parts sign their tokens and sessions with. This default is public:\n"
            "for trying Dataflix on your own machine only."
        ),
    )
    airflow_db: str = Field("airflow", description="Airflow's own database, in PostgreSQL.")
    airflow_db_user: str = Field("airflow", description="Owner of Airflow's database.")
    airflow_db_password: SecretStr = Field(SecretStr("airflow"), description="That owner's password.")

    # --- dbt webhook: runs dbt when asked
    dbt_host: str = Field("127.0.0.1", description="Where clients find the dbt webhook server.")
    dbt_port: Port = Field(5001, description="The dbt webhook server's port.")
    dbt_token: KeyText = Field(
        SecretStr("local-only-dbt-token"), description="Who may ask for a dbt run: the bearer token."
    )

    # --- MLflow: models and their history
    mlflow_host: str = Field("127.0.0.1", description="Where clients find MLflow.")
    mlflow_port: Port = Field(5003, description="MLflow's port.")
    mlflow_db: str = Field("mlflow", description="MLflow's own database, in PostgreSQL.")
    mlflow_db_user: str = Field("mlflow", description="Owner of MLflow's database.")
    mlflow_db_password: SecretStr = Field(SecretStr("mlflow"), description="That owner's password.")

    # --- S3: where MLflow keeps artefacts
    s3_host: str = Field("127.0.0.1", description="Where clients find the S3 store.")
    s3_port: Port = Field(9002, description="The S3 store's port.")
    s3_console_port: Port = Field(9003, description="The S3 store's pages.")
    s3_access_key: str = Field("minio", description="The S3 store's login.")
    s3_secret_key: SecretStr = Field(SecretStr("minio123"), description="The login's secret.")
    s3_bucket: str = Field("mlflow", description="Bucket of MLflow's artefacts.")

    # --- Backend: the API, and the page
    backend_host: str = Field("127.0.0.1", description="Where clients find the backend.")
    backend_port: Port = Field(5002, description="The backend's port: API and page.")
    backend_workers: int = Field(2, ge=1, le=32, description="The backend's processes.")
    backend_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that the API asks for; empty: none, for your own machine only.",
    )
    backend_rate_limit: int = Field(
        6000, ge=0, description="Requests that one client may send a minute, to each process; 0: no limit."
    )
    flask_env: Literal["development", "production"] = Field(
        "development", description="Whether the backend heeds FLASK_DEBUG (development) or not (production)."
    )
    flask_debug: bool = Field(
        default=True,
        description=(
            "1: the backend's log has debug messages too, such as the calls that led to a failed request.\n"
            "No value of it serves a debugger."
        ),
    )

    # --- Kafka UI: topics and records in the browser
    kafka_ui_host: str = Field("127.0.0.1", description="Where people find the Kafka UI.")
    kafka_ui_port: Port = Field(8081, description="The Kafka UI's port. It has no login.")

    # --- Where things are kept
    data_dir: Path | None = Field(
        None,
        description=(
            "Data, logs and configuration of this stack; empty: .dataflix/stack in the\n"
            "repository. A second stack needs another folder and other ports."
        ),
    )

    @property
    def postgres_server(self) -> dict[str, str | int]:
        """Where clients find PostgreSQL, as libpq names it."""
        return {"host": self.postgres_host, "port": self.postgres_port}

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's address as clients want it: ``host:port``."""
        return f"{self.kafka_host}:{self.kafka_port}"

    @property
    def kafka_client(self) -> dict[str, str]:
        """How a librdkafka client reaches Kafka: its address, and the login where there is one."""
        if not self.kafka_user:
            return {"bootstrap.servers": self.kafka_bootstrap}
        return {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.kafka_ca_file or "probe"),
            "sasl.mechanism": KAFKA_SASL_MECHANISM,
            "sasl.username": self.kafka_user,
            "sasl.password": self.kafka_password.get_secret_value(),
        }

    @property
    def connect_url(self) -> str:
        """Base address of Kafka Connect's REST API."""
        return f"http://{self.connect_host}:{self.connect_port}"

    def masker_url(self, worker: int) -> str:
        """Base address of a masker's metrics and health pages; workers count from 0."""
        return f"http://{self.masker_host}:{self.masker_port + worker}"

    @property
    def airflow_url(self) -> str:
        """Base address of Airflow's pages and API."""
        return f"http://{self.airflow_host}:{self.airflow_port}"

    @property
    def dbt_url(self) -> str:
        """Base address of the dbt webhook server."""
        return f"http://{self.dbt_host}:{self.dbt_port}"

    @property
    def mlflow_url(self) -> str:
        """Base address of MLflow: its pages, its API, and the way to its artefacts."""
        return f"http://{self.mlflow_host}:{self.mlflow_port}"

    @property
    def s3_url(self) -> str:
        """Address of the S3 store."""
        return f"http://{self.s3_host}:{self.s3_port}"

    @property
    def backend_url(self) -> str:
        """Base address of the backend: API and page."""
        return f"http://{self.backend_host}:{self.backend_port}"

    @property
    def kafka_ui_url(self) -> str:
        """Address of the Kafka UI's page."""
        return f"http://{self.kafka_ui_host}:{self.kafka_ui_port}"

    @property
    def local_only_key(self) -> bool:
        """Whether the masking key is the public default."""
        return self.masking_key.get_secret_value() == LOCAL_ONLY_MASKING_KEY

    @property
    def backend_debug(self) -> bool:
        """Whether the backend's log has debug messages."""
        return self.flask_debug and self.flask_env == "development"


def load_settings() -> Settings:
    """Read the settings from the environment and the settings file, if there is one.

    What the person who keeps the file should know is said on stderr, once.

    Raises:
        SettingsError: a setting cannot be used; the message names it, and never quotes its value.
    """
    return read_settings(chosen_file())


def read_settings(path: Path | None) -> Settings:
    """Read the settings from the environment and this file; None: from the environment alone.

    Raises:
        SettingsError: a setting cannot be used; the message names it, and never quotes its value.
    """
    content = settings_file.read(path, _file_defaults()) if path else settings_file.Content()
    for notice in content.notices:
        _say(f"{path}: {notice}")
    environment = {name.upper(): value for name, value in os.environ.items()}
    _refuse_empty(environment)
    from_file = {
        name: value
        for name, value in content.values.items()
        if not environment.get(f"{ENV_PREFIX}{name.upper()}")
    }
    try:
        return Settings.model_validate(from_file)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        lines = []
        for fault in faults:
            name = str(fault["loc"][0])
            where = content.origins[name] if name in from_file else f"{ENV_PREFIX}{name.upper()}"
            lines.append(f"{where}: {fault['msg']}")
        place = f"{path} or the environment" if path else "the environment"
        # Not from the error: its text quotes the values, and one of them may be a secret.
        raise SettingsError(f"in {place}: {'; '.join(lines)}") from None


@functools.cache
def _say(notice: str) -> None:
    """Tell the person who keeps the file, once in a process."""
    sys.stderr.write(f"{notice}\n")


def _refuse_empty(environment: Mapping[str, str]) -> None:
    """Refuse an empty secret of the environment: the public default would take its place."""
    for name, field in Settings.model_fields.items():
        variable = f"{ENV_PREFIX}{name.upper()}"
        if environment.get(variable) == "" and isinstance(field.default, SecretStr) and _text(field.default):
            raise SettingsError(f"{variable} is empty in the environment: give it a value, or unset it")


@functools.cache
def _file_defaults() -> Mapping[str, str]:
    """The names that a settings file may have, with their defaults."""
    return {name: default for name, default, _ in _file_settings()}


def _file_settings() -> Iterator[tuple[str, str, str]]:
    """The settings of the file in its order: name, default, description."""
    for name, field in Settings.model_fields.items():
        called = FILE_NAMES.get(name, f"{ENV_PREFIX}{name.upper()}")
        if called != AIRFLOW_ADDRESS:
            yield called, _text(field.default), field.description or ""
        if name in _LINES_AFTER:
            yield _LINES_AFTER[name]


def _text(value: object) -> str:
    """A default as the file has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def render_env_example() -> str:
    """The text of ``.env.example``: every setting with its description and default."""
    lines = [
        "# Settings of Dataflix. ./run.sh copies this file to .env at the first start.",
        "# Printed by: python -m dataflix_contract.env_example (a test compares the two).",
        "# A value with a blank and a #, or with a $, goes in single quotes.",
    ]
    for name, default, description in _file_settings():
        lines.append("")
        lines.extend(f"# {line}" for line in description.splitlines())
        lines.append(f"{name}={default}")
    return "\n".join(lines) + "\n"
