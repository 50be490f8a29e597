"""How the pipeline does inside: lag, slot, connector, dead letters. Each asked of its own server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import psycopg
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from dataflix_checker.probes import postgres_connection
from dataflix_contract import Settings, tables
from dataflix_contract.schema import CONNECTOR, DEAD_LETTER_TOPIC, MASKER_GROUP, SLOT

_SECONDS = 3
_SLOT_QUERY = """
    SELECT active, coalesce(wal_status, 'none'),
           coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
    FROM pg_replication_slots WHERE slot_name = %s
"""
Partition = tuple[str, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot: whether Debezium reads it and how much WAL waits for that."""

    name: str
    active: bool
    wal_status: str
    held_bytes: int

    @property
    def fault(self) -> str:
        """What is wrong, or nothing."""
        if self.wal_status in {"lost", "unreserved"}:
            return f"the slot's WAL is {self.wal_status}: bin/dataflix-connector resnapshot"
        return "" if self.active else "nobody reads the slot"


@dataclass(frozen=True, slots=True)
class Connector:
    """The connector and its task as Kafka Connect sees them."""

    state: str
    tasks: list[str]
    trace: str

    @property
    def fault(self) -> str:
        """What is wrong, or nothing."""
        if self.state == "RUNNING" and self.tasks and set(self.tasks) == {"RUNNING"}:
            return ""
        states = ", ".join(self.tasks) or "no task"
        return f"connector {self.state}, task {states}{f': {self.trace}' if self.trace else ''}"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies in Kafka: records not yet processed, by consumer group, and dead letters."""

    lag: dict[str, int]
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question that its server did not answer."""

    fault: str


def ask(question: Callable[[Settings], T], settings: Settings) -> T | Unknown:
    """The answer, or why there is none."""
    try:
        return question(settings)
    except (psycopg.Error, httpx.HTTPError, KafkaException, LookupError) as fault:
        return Unknown(str(fault).splitlines()[0] if str(fault) else type(fault).__name__)


def slot(settings: Settings) -> Slot:
    """Look at the replication slot."""
    with postgres_connection(settings, settings.postgres_db) as connection:
        row = connection.execute(_SLOT_QUERY, (SLOT,)).fetchone()
    if row is None:
        raise LookupError(f"there is no replication slot {SLOT}: bin/dataflix-connector register")
    return Slot(SLOT, *row)


def connector(settings: Settings) -> Connector:
    """Look at the connector's state."""
    answer = httpx.get(f"{settings.connect_url}/connectors/{CONNECTOR}/status", timeout=_SECONDS)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise LookupError("the connector is not registered: bin/dataflix-connector register")
    return read_connector(answer.raise_for_status().json())


def read_connector(status: dict[str, Any]) -> Connector:
    """Understand what Kafka Connect's REST API says; the trace's first line is enough."""
    traces = [part.get("trace", "") for part in (status["connector"], *status["tasks"])]
    first = next((trace.splitlines()[0] for trace in traces if trace), "")
    return Connector(status["connector"]["state"], [task["state"] for task in status["tasks"]], first)


def backlog(settings: Settings) -> Backlog:
    """Count what waits in the topics."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    readers = {MASKER_GROUP: [table.raw_topic for table in tables().values()]}
    readers |= {table.warehouse_group: [table.masked_topic] for table in tables().values()}
    topics = admin.list_topics(timeout=_SECONDS).topics
    partitions = {name: [(name, number) for number in topic.partitions] for name, topic in topics.items()}
    wanted = [*(topic for group in readers.values() for topic in group), DEAD_LETTER_TOPIC]
    known = [partition for topic in wanted for partition in partitions.get(topic, [])]
    begins, ends = (_offsets(admin, known, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    lag = {}
    for group, names in readers.items():
        own = [partition for name in names for partition in partitions.get(name, [])]
        lag[group] = behind(own, _committed(admin, group, own), begins, ends)
    dead = partitions.get(DEAD_LETTER_TOPIC, [])
    return Backlog(lag, sum(ends[one] - begins[one] for one in dead))


def behind(
    partitions: Iterable[Partition],
    committed: dict[Partition, int],
    begins: dict[Partition, int],
    ends: dict[Partition, int],
) -> int:
    """Records after the committed offsets; where none was committed, all there are."""
    return sum(ends[one] - max(committed.get(one, 0), begins[one]) for one in partitions)


def _offsets(admin: AdminClient, partitions: list[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    if not partitions:
        return {}
    asked: dict[TopicPartition, Any] = admin.list_offsets(
        {TopicPartition(*one): spec for one in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=_SECONDS,
    )
    return {(one.topic, one.partition): future.result().offset for one, future in asked.items()}


def _committed(admin: AdminClient, group: str, partitions: list[Partition]) -> dict[Partition, int]:
    if not partitions:
        return {}
    request = [ConsumerGroupTopicPartitions(group, [TopicPartition(*one) for one in partitions])]
    answer = admin.list_consumer_group_offsets(request, request_timeout=_SECONDS)[group].result()
    return {(one.topic, one.partition): one.offset for one in answer.topic_partitions if one.offset >= 0}
