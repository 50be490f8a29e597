"""Look for a canary's bytes in everything that lies behind the masker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from dataflix_clients import kafka, masker
from dataflix_contract import tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings

#: Every topic that must not hold personal data.
MASKED_TOPICS = [*(table.masked_topic for table in tables().values()), DEAD_LETTER_TOPIC, DRIFT_TOPIC]

#: How long to wait for a next message.
_PATIENCE_SECONDS = 30.0


def topics_with(marker: str, consumer: Consumer, since: list[TopicPartition]) -> Iterator[str]:
    """Yield ``topic/partition@offset`` of each record after ``since`` that holds the marker.

    Args:
        marker: the text to look for, in keys, values and headers.
        consumer: a consumer that may be assigned anew.
        since: the positions to read from, or ``OFFSET_BEGINNING``; it is read up to the present end.
    """
    needle = marker.encode()
    for message in kafka.read_to_end(consumer, since, _PATIENCE_SECONDS):
        parts = [message.key(), message.value(), *(value for _, value in message.headers() or [])]
        if any(needle in part for part in parts if isinstance(part, bytes)):
            yield f"{message.topic()}/{message.partition()}@{message.offset()}"


def warehouse_tables_with(marker: str, warehouse: Client) -> Iterator[str]:
    """Yield ``database.table`` of each table of ours in ClickHouse with a row that holds the marker."""
    found = warehouse.query(
        "SELECT database, name FROM system.tables WHERE database NOT IN ('system', 'default')"
        " AND engine LIKE '%MergeTree'"
    )
    for database, table in found.result_rows:
        rows = warehouse.command(
            f"SELECT count() FROM `{database}`.`{table}`"
            " WHERE position(formatRow('TSV', *), {m:String}) > 0",
            parameters={"m": marker},
        )
        if int(str(rows)):
            yield f"{database}.{table}"


def metrics_pages_with(marker: str, settings: Settings) -> Iterator[str]:
    """Yield the address of each masker's metrics page that holds the marker.

    Raises:
        httpx.HTTPError: a page cannot be read.
    """
    for url, page in masker.read_metrics(settings).items():
        if marker in page:
            yield url
