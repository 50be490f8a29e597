"""docker-compose.yml says what the native way says; a change on one side alone is found."""

import pytest

from dataflix_contract import Settings, tables
from dataflix_stack import servers
from support import containers
from support.containers import COMPOSE_FILE

TEXT = COMPOSE_FILE.read_text(encoding="utf-8")


def moved() -> Settings:
    """Settings in which no port and no address is the default."""
    ports = [name for name in Settings.model_fields if name.endswith("_port")]
    return Settings.model_validate(
        {"bind": "127.0.0.7", "s3_host": "store.test", **{name: 21000 + n for n, name in enumerate(ports)}}
    )


def faults(text: str, settings: Settings) -> list[str]:
    """Everything in which a text differs from the native way."""
    facts = containers.compose_facts(text, settings)
    return [
        *containers.differences(containers.native_facts(settings), facts),
        *containers.order_faults(text, settings),
        *containers.default_faults(text),
    ]


@pytest.mark.parametrize("settings", [Settings(), moved()], ids=["defaults", "moved"])
def test_containers_and_the_native_way_agree(settings: Settings) -> None:
    assert faults(TEXT, settings) == []


#: A change of docker-compose.yml alone, by what it changes: the text before, the text after.
DRIFTS = {
    "published port": (":${DATAFLIX_DBT_PORT:-5001}:", ":5009:"),
    "port's default": ("${DATAFLIX_CONNECT_PORT:-8083}", "${DATAFLIX_CONNECT_PORT:-8084}"),
    "every address": ("${DATAFLIX_BIND:-127.0.0.1}:${DATAFLIX_POSTGRES_PORT:-5432}:", "0.0.0.0:5432:"),
    "PostgreSQL": ("postgres:15.19-", "postgres:15.10-"),
    "Kafka": ("apache/kafka:4.3.1", "apache/kafka:4.3.0"),
    "Debezium": ("connect:3.7.0.Final", "connect:3.6.0.Final"),
    "ClickHouse": ("clickhouse-server:26.9", "clickhouse-server:26.8"),
    "versitygw": ("versitygw:1.8.0", "versitygw:1.7.0"),
    "image of ours": ("dataflix/backend:0.1.0", "dataflix/backend:0.0.9"),
    "memory": ("-Xmx384m", "-Xmx1g"),
    "collector": ("-XX:+UseSerialGC -XX:+Exit", "-XX:+UseG1GC -XX:+Exit"),
    "superuser": ("${DATAFLIX_POSTGRES_ADMIN_USER:-postgres}", "${DATAFLIX_POSTGRES_ADMIN_USER:-root}"),
    "a setting's name": ("${DATAFLIX_S3_ACCESS_KEY:-minio}", "${DATAFLIX_S3_KEY:-minio}"),
    "set-up's command": ("[dataflix-connector, topics]", "[dataflix-connector, status]"),
    "server's command": ('[dataflix-masker, --worker, "0"]', '[dataflix-masker, --worker, "1"]'),
    "S3's option": ("- --quiet", "- --readonly"),
    "profile": (
        "<<: [*server, *batch]\n    image: dataflix/backend",
        "<<: [*server, *stream]\n    image: dataflix/backend",
    ),
    "order": (
        "depends_on: { connect: *healthy, migrate: *done, topics: *done }",
        "depends_on: { topics: *done }",
    ),
    "way to wait": ("depends_on: { warehouse: *done }", "depends_on: { warehouse: *healthy }"),
    "stop": ("stop_signal: SIGINT", "stop_signal: SIGTERM"),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_change_in_the_file_alone_is_found(drift: str) -> None:
    before, after = DRIFTS[drift]
    assert before in TEXT
    changed = TEXT.replace(before, after)
    assert faults(changed, Settings()) or faults(changed, moved())


def test_a_change_of_the_native_way_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = servers.lock_text()
    monkeypatch.setattr(servers, "lock_text", lambda: locked.replace("kafka_2.13:4.3.1", "kafka_2.13:4.4.0"))
    assert "version: Kafka: natively '4.4.0', in containers '4.3.1'" in faults(TEXT, Settings())


def test_topics_are_named_by_the_contract_alone() -> None:
    named = [
        topic for one in tables().values() for topic in (one.raw_topic, one.masked_topic) if topic in TEXT
    ]
    assert named == []
