"""Not one byte of personal data behind the masker: canaries in every shape, and in an unknown column."""

import json
import secrets
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from dataflix_checker.canary import MASKED_TOPICS, topics_with, warehouse_tables_with
from dataflix_clients.kafka import open_consumer
from dataflix_clients.row_trace import following
from dataflix_contract import Settings, tables
from dataflix_contract.schema import DRIFT_TOPIC
from support.leaks import files_with
from support.stack import Stack
from support.waiting import wait_until


@pytest.fixture
def phone_column(source: psycopg.Connection) -> Iterator[str]:
    source.execute("ALTER TABLE users ADD COLUMN phone text")
    yield "phone"
    source.execute("ALTER TABLE users DROP COLUMN phone")


def _people(marker: str) -> list[tuple[str | None, str | None]]:
    """Names and addresses that hold the marker, in shapes that break careless code."""
    return [
        (f"Zoë {marker} Ünal 名前 \U0001f984", f"zoë.{marker}@exämple.com"),
        (f'{marker} O\'Brien "Bob" \\ \n\t; DROP TABLE users; --', f"o'brien+{marker}@example.com"),
        (f"{marker} " * (10_240 // (len(marker) + 1)), f"{'x' * 10_000}.{marker}@example.com"),
        (None, f"nameless.{marker}@example.com"),
        (f"{marker} without an address", None),
        (None, None),
    ]


def test_canaries_are_nowhere_behind_the_masker(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client, phone_column: str
) -> None:
    marker = f"canary{secrets.token_hex(12)}"
    users = tables()["users"]
    with following(settings, warehouse, users) as follower:
        for name, email in _people(marker):
            row = source.execute(
                "INSERT INTO users (name, email, phone) VALUES (%s, %s, %s) RETURNING user_id",
                [name, email, f"+1 {marker}"],
            ).fetchone()
            assert row is not None
            key = {"user_id": row[0]}
            *_, inserted = follower.follow(users, key)
            assert (name is None) == (json.loads(inserted.masked_value)["after"]["name"] is None)
            source.execute("UPDATE users SET name = name || ' ' || %s WHERE user_id = %s", [marker, row[0]])
            *_, updated = follower.follow(users, key)
            assert json.loads(updated.masked_value)["before"] is not None
            source.execute("DELETE FROM users WHERE user_id = %s", [row[0]])
            *_, deleted = follower.follow(users, key)
            assert deleted.op == "d"

    assert _records_with(settings, marker, [users.raw_topic]), "the search must find what is there"
    assert _records_with(settings, marker, MASKED_TOPICS) == []
    assert list(warehouse_tables_with(marker, warehouse)) == []
    assert files_with(stack.data_dir / "clickhouse", marker) == []
    assert files_with(stack.data_dir / "logs", marker) == []
    assert files_with(stack.data_dir / "kafka", marker), "the search must find what is there"
    metrics = httpx.get(f"{settings.masker_url(0)}/metrics").text
    assert marker not in metrics
    _drift_is_reported(settings, phone_column, metrics)
    checks = json.loads(stack.run("./check_all_works.py", "--no-batch", "--json").stdout)["checks"]
    assert f"users.{phone_column}" in next(one["detail"] for one in checks if one["check"] == "drift")


def _drift_is_reported(settings: Settings, column: str, metrics: str) -> None:
    assert any(column in line for line in metrics.splitlines() if "drift" in line)
    wait_until(
        lambda: _records_with(settings, f'"{column}"', [DRIFT_TOPIC]), "a drift notice names the column"
    )


def _records_with(settings: Settings, marker: str, topics: list[str]) -> list[str]:
    consumer = open_consumer(settings, "dataflix-test")
    try:
        whole = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in topics
            for partition in consumer.list_topics(topic).topics[topic].partitions
        ]
        return list(topics_with(marker, consumer, whole))
    finally:
        consumer.close()
