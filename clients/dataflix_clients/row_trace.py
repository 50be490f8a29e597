"""Follow a row's next change and time each stage: committed, captured, masked, queryable.

The stages' times are the ones that the systems themselves wrote down: PostgreSQL's
commit time (Debezium's ``source.ts_us``), the timestamps of the raw and of the masked
Kafka record, and the moment in which a query first returned the row's new version.
They can be compared because the stack's servers share a clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Message
from rich.markup import escape

from dataflix_clients.kafka import end_positions, open_consumer
from dataflix_contract.console import Console
from dataflix_contract.faults import Fault

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings, Table

#: The stages in the order in which a change passes them.
STAGES = ("committed", "captured", "masked", "queryable")

_POLL_SECONDS = 0.01


@dataclass
class RowTrace:
    """One change's way through the pipeline.

    Attributes:
        table: the table's name.
        key: the primary key, by column.
        op: Debezium's operation: c, u, d or r.
        version: the change's version in the warehouse (its LSN).
        at: seconds since the epoch by stage, in the order passed.
        masked_value: the value of the masked record, as bytes.
    """

    table: str
    key: Mapping[str, Any]
    op: str = ""
    version: int = 0
    at: dict[str, float] = field(default_factory=dict)
    masked_value: bytes = b""

    @property
    def milliseconds(self) -> dict[str, float]:
        """Milliseconds from the commit to each later stage."""
        start = self.at["committed"]
        return {stage: (at - start) * 1000 for stage, at in self.at.items() if stage != "committed"}


class Follower:
    """Waits for the next change of given rows; made by :func:`following`."""

    def __init__(self, consumer: Consumer, warehouse: Client) -> None:
        self._consumer = consumer
        self._warehouse = warehouse
        self._unread: list[Message] = []

    def follow(self, table: Table, key: Mapping[str, Any], timeout: float = 15.0) -> Iterator[RowTrace]:
        """Yield the row's next change once after each stage that it passes.

        Args:
            table: the contract's table.
            key: the row's primary key, by column.
            timeout: seconds to wait for all stages together.

        Raises:
            Fault: a stage was not reached in time; the message names it.
        """
        deadline = time.monotonic() + timeout
        trace = RowTrace(table.name, key)

        raw, change = self._next_record(table.raw_topic, key, deadline)
        trace.op, trace.version = change["op"], int(change["source"]["lsn"])
        trace.at["committed"] = change["source"]["ts_us"] / 1e6
        trace.at["captured"] = raw.timestamp()[1] / 1000
        yield trace

        masked, change = self._next_record(table.masked_topic, key, deadline)
        trace.version = change["version"]
        trace.masked_value = masked.value() or b""
        trace.at["masked"] = masked.timestamp()[1] / 1000
        yield trace

        self._wait_until_queryable(table, key, trace.version, deadline)
        trace.at["queryable"] = time.time()
        yield trace

    def _next_record(
        self, topic: str, key: Mapping[str, Any], deadline: float
    ) -> tuple[Message, dict[str, Any]]:
        """The next record of ``topic`` with this key; records of other topics are kept for later."""
        while True:
            for index, message in enumerate(self._unread):
                if message.topic() == topic and _has_key(message, key):
                    del self._unread[index]
                    return message, json.loads(message.value() or b"null")
            if time.monotonic() > deadline:
                raise Fault(f"nothing of {dict(key)} arrived in topic {topic} in time")
            self._unread.extend(
                message
                for message in self._consumer.consume(500, timeout=_POLL_SECONDS)
                if message.error() is None
            )

    def _wait_until_queryable(
        self, table: Table, key: Mapping[str, Any], version: int, deadline: float
    ) -> None:
        where = " AND ".join(
            f"{column} = {{{column}:{table.columns[column].clickhouse_type}}}" for column in table.key
        )
        query = f"SELECT max(_version) FROM raw.{table.name} WHERE {where}"
        while True:
            newest = self._warehouse.command(query, parameters=dict(key))
            if int(str(newest)) >= version:
                return
            if time.monotonic() > deadline:
                raise Fault(f"version {version} of {dict(key)} is not in raw.{table.name} in time")
            time.sleep(_POLL_SECONDS)


@contextmanager
def following(settings: Settings, warehouse: Client, *tables: Table) -> Iterator[Follower]:
    """Listen to the raw and masked topics of ``tables`` from now on.

    What is committed inside the block is seen by the yielded :class:`Follower`.
    """
    consumer = open_consumer(settings, "dataflix-trace")
    try:
        topics = [topic for table in tables for topic in (table.raw_topic, table.masked_topic)]
        consumer.assign(list(end_positions(consumer, topics)))
        yield Follower(consumer, warehouse)
    finally:
        consumer.close()


class Printer:
    """Prints a line for each change, and a line for each stage when it is reached."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._title = ""

    def __call__(self, title: str, trace: RowTrace) -> None:
        """Print the stage that a change has just reached."""
        if title != self._title:
            self._title = title
            self._console.print(f"[bold]{escape(title)}[/]  version {trace.version}")
            self._console.print("  committed        0 ms")
        stage, milliseconds = list(trace.milliseconds.items())[-1]
        line = f"  {stage:<10} {milliseconds:7.0f} ms{_what(stage, trace)}"
        self._console.print(line, no_wrap=True, overflow="ellipsis")


def _what(stage: str, trace: RowTrace) -> str:
    """The masked record, which may be shown, at the stage ``masked``; nothing at other stages."""
    if stage != "masked":
        return ""
    change = json.loads(trace.masked_value)
    return f"   [dim]{escape(json.dumps(change['after'] or change['before'], ensure_ascii=False))}[/]"


def _has_key(message: Message, key: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(message.key() or b"null") == dict(key))
    except ValueError:  # the key is not JSON, so it is not this row's
        return False
