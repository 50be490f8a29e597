"""Each container gets the settings that its program reads, no others, and reaches the hosts they name."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from dataflix_contract import Settings
from dataflix_contract.settings import ENV_PREFIX
from dataflix_stack import compose as rendering
from dataflix_stack.server_config import InContainers
from support.containers import COMPOSE_FILE, Compose, command_of, environment, references, variable
from support.readers import programs, settings_read
from support.stack import ROOT

TEXT = COMPOSE_FILE.read_text(encoding="utf-8")
COMPOSE = Compose.of(TEXT, {})
#: The service that each host's setting names in the containers' networks.
HOSTS = {
    "postgres_host": "postgres",
    "kafka_host": "kafka",
    "connect_host": "connect",
    "masker_host": "masker-0",
    "clickhouse_host": "clickhouse",
    "airflow_host": "airflow-api",
    "dbt_host": "dbt-webhook",
    "mlflow_host": "mlflow",
    "s3_host": "s3",
    "backend_host": "backend",
    "kafka_ui_host": "kafka-ui",
}
#: Read by a module that a program imports, and never by this program: secrets stay where they are needed.
WITHHELD = {
    # a model's profile of a user is not the setting of that name
    "airflow-scheduler": {"profile"},
    # judges what others ask Kafka Connect; and as above
    "backend": {"connect_host", "connect_port", "profile"},
    # reads what tasks there are, and runs none of them
    "airflow-dags": {
        "clickhouse_batch_user",
        "clickhouse_batch_password",
        "clickhouse_host",
        "clickhouse_http_port",
        "dbt_host",
        "dbt_port",
        "dbt_token",
    },
}
#: The containers' Kafka asks for no login, and one server is their warehouse.
ELSEWHERE = {"kafka_user", "kafka_password", "kafka_ca_file", "clickhouse_cluster"}
#: Read from the environment by the server of an image that is not ours.
SERVERS_OWN = {
    "connect": {"debezium_password"},
    # a change of these changes their configuration files: they are there to make new containers
    "postgres": {"debezium_user"},
    "kafka": {"kafka_host"},
}
#: Told of a host, to tell others of it.
NOT_VISITED = {"config": {"kafka_host", "connect_host"}, "warehouse": {"kafka_host"}}
#: The terminal's commands for whoever runs the servers are for the machine outside.
OF_THE_CLI = {"backend_host", "backend_port", "backend_token", "kafka_host", "kafka_port"}
#: Which containers start, and where those outside find what.
FOR_THOSE_OUTSIDE = {"profile", "kafka_ui_host"}


class _RecordingSettings:
    """Settings that remember what was read of them."""

    def __init__(self, settings: Settings) -> None:
        self.read: set[str] = set()
        self._settings = settings

    def __getattr__(self, name: str) -> object:
        self.read |= {name} & Settings.model_fields.keys()
        derived = vars(Settings).get(name)
        return derived.__get__(self) if isinstance(derived, property) else getattr(self._settings, name)


def entries(service: str) -> Iterable[Path]:
    """The files that a service's programs start in."""
    command = command_of(COMPOSE.ours[service])
    yield programs()[command[0]]
    if service in {"airflow-scheduler", "airflow-dags"}:
        yield from (ROOT / "airflow/dags").glob("*.py")
    if service == "airflow-scheduler":  # what its tasks run
        yield from (programs()[name] for name in ("dataflix-reconcile", "dataflix-train"))


def read_by(service: str) -> set[str]:
    """The settings that a service's programs read."""
    if service == "config":
        recorder = _RecordingSettings(Settings(bind="0.0.0.0"))
        rendering.render(recorder, InContainers("127.0.0.1"))  # type: ignore[arg-type]
        return recorder.read
    if service == "cli":
        return OF_THE_CLI
    if service == "s3":  # versitygw gets them as arguments
        return {"s3_port"}
    return settings_read(entries(service)) - ELSEWHERE - WITHHELD.get(service, set())


def given_to(service: str) -> dict[str, object]:
    """The settings that a container gets, by their names in the code."""
    variables = COMPOSE.services[service].get("environment", {})
    return {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in variables.items()
        if name.startswith(ENV_PREFIX)
    }


@pytest.mark.parametrize("service", COMPOSE.ours)
def test_a_container_gets_what_its_program_reads(service: str) -> None:
    missing = sorted(map(variable, read_by(service) - given_to(service).keys()))
    assert not missing, (
        f"{service} reads {', '.join(missing)}: add it to its environment in docker-compose.yml,"
        " or to WITHHELD with the reason why the program never needs it"
    )


@pytest.mark.parametrize("service", COMPOSE.services)
def test_a_container_gets_nothing_else(service: str) -> None:
    wanted = read_by(service) if service in COMPOSE.ours else SERVERS_OWN.get(service, set())
    assert given_to(service).keys() <= wanted


@pytest.mark.parametrize("service", COMPOSE.ours)
def test_values_come_from_the_settings_file(service: str) -> None:
    fixed = {"bind": "0.0.0.0", "data_dir": "/var/lib/dataflix", "masker_workers": "1", **HOSTS}
    defaults = environment(Settings())
    for name, value in given_to(service).items():
        if name in fixed:
            assert value == fixed[name], f"{variable(name)} is {value}"
        else:
            assert value is None or str(value) == defaults[variable(name)], f"{variable(name)} is {value}"


@pytest.mark.parametrize("service", COMPOSE.ours)
def test_a_container_reaches_the_hosts_that_it_is_told(service: str) -> None:
    networks = set(COMPOSE.services[service].get("networks", []))
    for name, host in HOSTS.items():
        if name in given_to(service).keys() - NOT_VISITED.get(service, set()) and host != service:
            assert networks & set(COMPOSE.services[host]["networks"]), f"{service} cannot reach {host}"


def test_every_setting_reaches_a_container() -> None:
    reached = {name for service in COMPOSE.services for name in given_to(service)}
    put_in = {name.removeprefix(ENV_PREFIX).lower() for name, _ in references(TEXT)}
    assert Settings.model_fields.keys() - reached - put_in == FOR_THOSE_OUTSIDE | ELSEWHERE


@pytest.mark.parametrize(
    ("service", "host"),
    [
        ("masker-0", "postgres"),
        ("clickhouse", "postgres"),
        ("kafka-ui", "postgres"),
        ("cli", "postgres"),
        ("dbt-webhook", "postgres"),
        ("dbt-webhook", "kafka"),
        ("mlflow", "kafka"),
        ("masker-0", "connect"),
        ("backend", "connect"),
        ("backend", "s3"),
        ("airflow-scheduler", "s3"),
        ("cli", "connect"),
    ],
)
def test_who_has_no_business_with_a_server_does_not_reach_it(service: str, host: str) -> None:
    networks, theirs = (set(COMPOSE.services[one]["networks"]) for one in (service, host))
    assert not networks & theirs


@pytest.mark.parametrize(
    ("secret", "who"),
    [
        ("masking_key", {"masker-0", "airflow-scheduler"}),
        ("postgres_admin_password", {"topics", "migrate", "register", "seed", "databases"}),
        ("airflow_secret", {"airflow-migrate", "airflow-api", "airflow-scheduler", "airflow-dags"}),
        ("dbt_token", {"dbt-webhook", "airflow-scheduler"}),
        ("s3_secret_key", {"bucket", "mlflow"}),
        ("clickhouse_admin_password", {"config", "topics", "warehouse", "register"}),
    ],
)
def test_secrets_go_where_they_are_needed(secret: str, who: set[str]) -> None:
    assert {service for service in COMPOSE.services if secret in given_to(service)} == who
