"""Every setting of the stack, read from the environment and from ``.env``.

Each field is ``DATAFLIX_<NAME>`` in the environment, which wins over the file, and the file over the
defaults here. In the file most fields have the same name; those that users know from elsewhere, such as
``POSTGRES_PASSWORD``, have that name there. ``dataflix_contract.settings_file`` reads the file, and
``dataflix_contract.settings_values`` has the rule for each value: here are types, defaults and descriptions.

``.env.example`` is printed by ``scripts/generate``, and a test holds the two together.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dataflix_contract import settings_conflicts, settings_file, settings_values
from dataflix_contract.proxies import bypass_proxies
from dataflix_contract.settings_file import (
    AIRFLOW_ADDRESS,
    ENV_PREFIX,
    S3_ADDRESS,
    SettingsError,
    chosen_file,
    name_of,
)

__all__ = [
    "ENV_PREFIX",
    "Login",
    "Settings",
    "SettingsError",
    "conflicts",
    "load_settings",
    "read_settings",
    "render_env_example",
    "shared_names",
]

#: How a client proves who it is to a Kafka that asks.
KAFKA_SASL_MECHANISM = "SCRAM-SHA-512"
LOCAL_ONLY_MASKING_KEY = "local-only-masking-key-change-me"
LOCAL_ONLY_AIRFLOW_SECRET = "local-only-airflow-secret-of-32-bytes-change-me"  # noqa: S105 - public
#: Lines of .env.example that belong to no single setting, by the setting after which they are printed.
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


class Login(NamedTuple):
    """Who logs in to a server, and with what."""

    user: str
    password: SecretStr


class Settings(BaseSettings):
    """The stack's settings; each field is ``DATAFLIX_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    bind: str = Field("127.0.0.1", description="Address that every server listens on.")
    profile: Literal["core", "full"] = Field(
        "full",
        description="What is started: the stream only (core), or the daily batch as well (full).",
    )

    # --- PostgreSQL: the source
    postgres_host: str = Field("127.0.0.1", description="Where clients find PostgreSQL.")
    postgres_port: int = Field(5432, description="PostgreSQL's port.")
    postgres_db: str = Field("dataflix_db", description="The database.")
    postgres_user: str = Field("dataflix", description="Owner of the tables.")
    postgres_password: SecretStr = Field(SecretStr("dataflix123"), description="The owner's password.")
    postgres_admin_user: str = Field(
        "postgres",
        description="Superuser: for set-up, readiness probes, the status, and to register the connector.",
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
    kafka_port: int = Field(9092, description="Kafka's port.")
    kafka_controller_port: int = Field(9093, description="Kafka's KRaft controller port.")
    kafka_user: str = Field(
        "", description="Login at a Kafka that asks for one (SCRAM-SHA-512, over TLS); empty: none."
    )
    kafka_password: SecretStr = Field(SecretStr(""), description="The login's password.")
    kafka_ca_file: Path | None = Field(
        None, description="Certificates that vouch for such a Kafka; empty: the system's."
    )
    kafka_partitions: int = Field(
        4, description="Partitions of each data topic: the most maskers that have work."
    )
    raw_retention_hours: int = Field(24, description="How long the raw topics keep personal data, in hours.")
    connect_host: str = Field("127.0.0.1", description="Where clients find Kafka Connect.")
    connect_port: int = Field(8083, description="Kafka Connect's REST port.")

    # --- Masker
    masking_key: SecretStr = Field(
        SecretStr(LOCAL_ONLY_MASKING_KEY),
        description=(
            "Secret of the pseudonyms, 16 characters or more, 6 different ones among them. This default is\n"
            "public and good for trying Dataflix on your own machine only: python3 -c 'import secrets;"
            " print(secrets.token_hex(32))'"
        ),
    )
    masking_key_id: str = Field("k1", description="Public name of the key, part of every pseudonym.")
    masker_host: str = Field("127.0.0.1", description="Where the checker finds the masker.")
    masker_port: int = Field(6066, description="First masker's metrics and health port; worker n is at +n.")
    masker_workers: int = Field(1, description="Masker processes (up to the partitions).")
    masker_max_bytes: int = Field(262_144, description="Largest raw message that is masked, in bytes.")

    # --- ClickHouse: the warehouse
    clickhouse_host: str = Field("127.0.0.1", description="Where clients find ClickHouse.")
    clickhouse_http_port: int = Field(8123, description="ClickHouse's HTTP port.")
    clickhouse_tcp_port: int = Field(9000, description="ClickHouse's native port.")
    clickhouse_cluster: str = Field(
        "",
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
        description="When the daily batch runs by itself: a cron expression, in UTC, or off.",
    )
    stars_model: Literal["chosen", "svd"] = Field(
        "chosen",
        description=(
            "What predicts the stars: what the training finds to be better (chosen), or always Surprise's\n"
            "SVD (svd)."
        ),
    )
    trainer: Literal["numba", "spark"] = Field(
        "numba",
        description=(
            "What fits the stars: compiled code on this machine (numba), or Spark's ALS, which may have a\n"
            "cluster (spark). See docs/decisions/spark.md."
        ),
    )
    spark_master: str = Field(
        "local[2]",
        description="Where Spark computes: threads of this machine, or a cluster: spark://HOST:PORT.",
    )
    spark_secret: SecretStr = Field(
        SecretStr(""), description="What the cluster's spark.authenticate.secret is; empty: it asks for none."
    )
    airflow_host: str = Field("127.0.0.1", description="Where clients find Airflow.")
    airflow_port: int = Field(8080, description="Airflow's pages and API.")
    airflow_user: str = Field("admin", description="Airflow's login.")
    airflow_password: SecretStr = Field(SecretStr("admin"), description="The login's password.")
    airflow_secret: SecretStr = Field(
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
    dbt_port: int = Field(5001, description="The dbt webhook server's port.")
    dbt_token: SecretStr = Field(
        SecretStr("local-only-dbt-token"), description="Who may ask for a dbt run: the bearer token."
    )

    # --- MLflow: models and their history
    mlflow_host: str = Field("127.0.0.1", description="Where clients find MLflow.")
    mlflow_port: int = Field(5003, description="MLflow's port.")
    mlflow_db: str = Field("mlflow", description="MLflow's own database, in PostgreSQL.")
    mlflow_db_user: str = Field("mlflow", description="Owner of MLflow's database.")
    mlflow_db_password: SecretStr = Field(SecretStr("mlflow"), description="That owner's password.")

    # --- S3: where MLflow keeps artefacts
    s3_host: str = Field("127.0.0.1", description="Where clients find the S3 store.")
    s3_port: int = Field(9002, description="The S3 store's port.")
    s3_console_port: int = Field(9003, description="The S3 store's pages.")
    s3_access_key: str = Field("minio", description="The S3 store's login.")
    s3_secret_key: SecretStr = Field(SecretStr("minio123"), description="The login's secret.")
    s3_bucket: str = Field("mlflow", description="Bucket of MLflow's artefacts.")

    # --- Backend: the API, and the page
    backend_host: str = Field("127.0.0.1", description="Where clients find the backend.")
    backend_port: int = Field(5002, description="The backend's port: API and page.")
    backend_workers: int = Field(2, description="The backend's processes.")
    backend_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that the API asks for; empty: none, for your own machine only.",
    )
    backend_rate_limit: int = Field(
        6000, description="Requests that one client may send a minute, to each process; 0: no limit."
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
    kafka_ui_port: int = Field(8081, description="The Kafka UI's port. It has no login.")

    # --- Where things are kept
    data_dir: Path | None = Field(
        None,
        description=(
            "Data, logs and configuration of this stack; empty: .dataflix/stack in the\n"
            "repository. A second stack needs another folder and other ports."
        ),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _judge(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what the setting's rule refuses, whoever makes the settings."""
        wanted = settings_values.RULES[str(info.field_name)](_text(value))
        if wanted:
            raise ValueError(wanted)
        return value

    @property
    def hosts(self) -> list[str]:
        """Every host that the settings name: where clients find the servers, and where these listen."""
        fields = [name for name in type(self).model_fields if name == "bind" or name.endswith("_host")]
        return list(dict.fromkeys(str(getattr(self, name)) for name in fields))

    @property
    def postgres_server(self) -> dict[str, str | int]:
        """Where clients find PostgreSQL, as libpq names it."""
        return {"host": self.postgres_host, "port": self.postgres_port}

    @property
    def postgres_owner(self) -> Login:
        """The login of the role that owns PostgreSQL's tables."""
        return Login(self.postgres_user, self.postgres_password)

    @property
    def postgres_admin(self) -> Login:
        """The login of PostgreSQL's superuser, who may see which sessions hold a transaction open."""
        return Login(self.postgres_admin_user, self.postgres_admin_password)

    @property
    def postgres_debezium(self) -> Login:
        """The login of the role in PostgreSQL that reads the replication slot, and the tables as they are."""
        return Login(self.debezium_user, self.debezium_password)

    @property
    def clickhouse_address(self) -> str:
        """Where clients find ClickHouse's HTTP interface: ``host:port``."""
        return f"{self.clickhouse_host}:{self.clickhouse_http_port}"

    @property
    def clickhouse_owner(self) -> Login:
        """The login of the user who makes and changes ClickHouse's tables."""
        return Login(self.clickhouse_admin_user, self.clickhouse_admin_password)

    @property
    def clickhouse_batch(self) -> Login:
        """The login of the user with whom the daily batch repairs ClickHouse's tables and writes reports."""
        return Login(self.clickhouse_batch_user, self.clickhouse_batch_password)

    @property
    def clickhouse_reader(self) -> Login:
        """The login of the user who only reads in ClickHouse."""
        return Login(self.clickhouse_user, self.clickhouse_password)

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

    def service_folder(self, service: str) -> Path:
        """Where a service keeps what it writes: a folder of its name below the stack's data folder.

        Raises:
            SettingsError: the settings name no data folder.
        """
        if self.data_dir is None:
            raise SettingsError(
                "DATAFLIX_DATA_DIR is empty: ./run.sh sets it for the servers that it starts. To start one by"
                " hand, set it to the stack's folder (.dataflix/stack in the checkout, unless .env names one)"
            )
        return self.data_dir.expanduser().absolute() / service


def load_settings() -> Settings:
    """Read the settings from the environment and the settings file, if there is one.

    What the person who keeps the file should know is said on stderr, once. From here on this process and
    those that it starts reach the stack's hosts without a proxy, whatever the environment says of proxies.

    Raises:
        SettingsError: a setting cannot be used; the message names it, and never quotes its value.
    """
    settings = read_settings(chosen_file())
    bypass_proxies(settings.hosts)
    return settings


def read_settings(path: Path | None) -> Settings:
    """Read the settings from the environment and this file; None: from the environment alone.

    Raises:
        SettingsError: a setting cannot be used; the message names it, and never quotes its value.
    """
    content = settings_file.read(path, _file_defaults()) if path else settings_file.Content()
    for notice in content.notices:
        _say(f"{path}: {notice}")
    defaults = {name: _text(field.default) for name, field in Settings.model_fields.items()}
    try:
        given = settings_file.effective(content, defaults)
        settings_file.judge(given, together=path is not None)
    except SettingsError as fault:
        place = f"{path} or the environment" if path else "the environment"
        raise SettingsError(f"in {place}: {fault}") from fault
    return Settings.model_validate(
        {name: value for name, value in content.values.items() if given[name].origin == content.origins[name]}
    )


def shared_names(settings: Settings, fields: Iterable[str]) -> list[str]:
    """A sentence for each name that two of these settings give to roles, databases or users.

    A settings file is judged by this when it is read. Who makes the roles asks again, because a container
    reads no file.

    Args:
        settings: the settings.
        fields: those that this program was given; the others may be defaults.
    """
    return settings_conflicts.shared_names(_given(settings, fields))


def conflicts(settings: Settings) -> list[str]:
    """A sentence for each two of these settings that do not fit each other.

    A settings file is judged by this when it is read. Who starts every server asks again, because there may
    be no file. Nobody else can: a container has defaults in place of the settings that it is not given.
    """
    return settings_conflicts.conflicts(_given(settings, Settings.model_fields))


def _given(settings: Settings, fields: Iterable[str]) -> dict[str, settings_values.RawValue]:
    return {name: settings_values.RawValue(_text(getattr(settings, name)), name_of(name)) for name in fields}


@functools.cache
def _say(notice: str) -> None:
    """Tell the person who keeps the file, once in a process."""
    sys.stderr.write(f"{notice}\n")


@functools.cache
def _file_defaults() -> Mapping[str, str]:
    """The names that a settings file may have, with their defaults."""
    return {name: default for name, default, _ in _file_settings()}


def _file_settings() -> Iterator[tuple[str, str, str]]:
    """The settings of the file in its order: name, default, description."""
    for name, field in Settings.model_fields.items():
        if name_of(name) != AIRFLOW_ADDRESS:
            yield name_of(name), _text(field.default), field.description or ""
        if name in _LINES_AFTER:
            yield _LINES_AFTER[name]


def _text(value: object) -> str:
    """A value as the file has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def render_env_example() -> str:
    """The text of ``.env.example``: every setting with its description and default."""
    lines = [
        "# Settings of Dataflix. ./run.sh copies this file to .env at the first start.",
        "# Printed by: scripts/generate (a test compares the two).",
        "# A value with a blank and a #, or with a $, goes in single quotes.",
    ]
    for name, default, description in _file_settings():
        lines.append("")
        lines.extend(f"# {line}" for line in description.splitlines())
        lines.append(f"{name}={default}")
    return "\n".join(lines) + "\n"
