"""Settings that must fit each other: names that must differ, one port for one server, and the like.

For those who know all settings: where a settings file is read, and where the whole stack starts. A container
is given a few settings and has defaults in place of the others, so that it cannot judge what fits. Each value
is judged by ``dataflix_contract.settings_values``. This too needs nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dataflix_contract.settings_values import RawValue

#: Roles of PostgreSQL: each has rights of its own, and a password.
ROLES = (
    "postgres_admin_user",
    "postgres_user",
    "postgres_api_user",
    "debezium_user",
    "airflow_db_user",
    "mlflow_db_user",
)
DATABASES = ("postgres_db", "airflow_db", "mlflow_db")
CLICKHOUSE_USERS = (
    "clickhouse_admin_user",
    "clickhouse_user",
    "clickhouse_batch_user",
    "clickhouse_dbt_user",
)
_STREAM_PORTS = (
    "postgres_port",
    "kafka_port",
    "kafka_controller_port",
    "clickhouse_http_port",
    "clickhouse_tcp_port",
    "connect_port",
)
_OTHER_PORTS = (
    "s3_port",
    "s3_console_port",
    "mlflow_port",
    "dbt_port",
    "airflow_port",
    "backend_port",
    "kafka_ui_port",
)
_LAST_PORT = 65_535


def shared_names(given: Mapping[str, RawValue]) -> list[str]:
    """A sentence for each name that settings give to two roles, two databases or two users."""
    groups = {
        "name one role of PostgreSQL: they must be different roles": ROLES,
        "name one database: they must be different databases": DATABASES,
        "name one user of ClickHouse: they must differ": CLICKHOUSE_USERS,
    }
    return [
        f"{first.origin} and {second.origin} {fault}"
        for fault, fields in groups.items()
        for first, second in _equals([given[field] for field in fields if field in given])
    ]


def conflicts(given: Mapping[str, RawValue]) -> list[str]:
    """A sentence for each two values that do not fit each other.

    Args:
        given: every setting by its field; each value is one that its rule takes.
    """
    return [*shared_names(given), *_ports(given), *_counts(given), *_kafka_login(given), *_trainer(given)]


def _equals(values: Sequence[RawValue]) -> Iterator[tuple[RawValue, RawValue]]:
    """The pairs of settings that have one value: the first that has it, and each other."""
    first: dict[str, RawValue] = {}
    for one in values:
        before = first.setdefault(one.text, one)
        if before is not one:
            yield before, one


def _ports(given: Mapping[str, RawValue]) -> Iterator[str]:
    masker = given["masker_port"]
    last = int(masker.text) + int(given["masker_workers"].text) - 1
    started = _STREAM_PORTS if given["profile"].text == "core" else _STREAM_PORTS + _OTHER_PORTS
    maskers = [
        RawValue(str(port), f"{masker.origin} of worker {port - int(masker.text)}")
        for port in range(int(masker.text) + 1, last + 1)
    ]
    taken = [*(given[field] for field in started), masker, *maskers]
    for first, second in _equals(taken):
        yield f"{first.origin} and {second.origin} are one port: set one of them to another port"
    if last > _LAST_PORT:
        yield f"{masker.origin}: worker n of the masker has this port + n, which must not exceed {_LAST_PORT}"


def _counts(given: Mapping[str, RawValue]) -> Iterator[str]:
    workers, partitions = given["masker_workers"], given["kafka_partitions"]
    if int(workers.text) > int(partitions.text):
        yield (
            f"{workers.origin} is more than {partitions.origin}: the other workers of the masker would have"
            " nothing to do"
        )


def _kafka_login(given: Mapping[str, RawValue]) -> Iterator[str]:
    user, password = given["kafka_user"], given["kafka_password"]
    if bool(user.text) != bool(password.text):
        yield f"{user.origin} and {password.origin}: one is empty: set both, or neither"


def _trainer(given: Mapping[str, RawValue]) -> Iterator[str]:
    trainer, stars = given["trainer"], given["stars_model"]
    if trainer.text == "spark" and stars.text == "svd":
        yield (
            f"{trainer.origin} has Spark's ALS predict the stars, and {stars.origin} Surprise's SVD: set one"
            " of them only"
        )
