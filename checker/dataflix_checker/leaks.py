"""Look for a canary's bytes in everything that lies behind the masker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
from confluent_kafka import Consumer, TopicPartition

from dataflix_contract import tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings

#: Every topic that must not hold personal data.
MASKED_TOPICS = [*(table.masked_topic for table in tables().values()), DEAD_LETTER_TOPIC, DRIFT_TOPIC]


def topics_with(marker: str, consumer: Consumer, since: list[TopicPartition]) -> Iterator[str]:
    """Yield ``topic/partition@offset`` of each record after ``since`` that holds the marker.

    Args:
        marker: the text to look for, in keys, values and headers.
        consumer: a consumer that may be assigned anew.
        since: the positions to read from, or ``OFFSET_BEGINNING``; it is read up to the present end.
    """
    needle = marker.encode()
    ends = {}
    for position in since:
        low, high = consumer.get_watermark_offsets(position, timeout=10)
        if max(position.offset, low) < high:
            ends[position.topic, position.partition] = high
    unread = set(ends)
    consumer.assign([p for p in since if (p.topic, p.partition) in unread])
    while unread:
        for message in consumer.consume(1000, timeout=0.5):
            where = (str(message.topic()), int(message.partition() or 0))
            offset = int(message.offset() or 0)
            parts = [message.key(), message.value(), *(value for _, value in message.headers() or [])]
            if any(needle in part for part in parts if isinstance(part, bytes)):
                yield f"{where[0]}/{where[1]}@{offset}"
            if offset + 1 >= ends[where]:
                unread.discard(where)


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
    for worker in range(settings.masker_workers):
        url = f"{settings.masker_url(worker)}/metrics"
        if marker in httpx.get(url, timeout=5).raise_for_status().text:
            yield url
