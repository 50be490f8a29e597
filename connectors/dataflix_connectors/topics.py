"""The Kafka topics that the stack needs, and how they are created and changed."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from dataflix_clients.kafka import admin_client, reason, result_of, unreachable
from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import (
    DEAD_LETTER_TOPIC,
    DRIFT_TOPIC,
    HEARTBEAT_TOPICS,
    MAX_MESSAGE_BYTES,
    RECONCILED_TOPIC,
)

_TIMEOUT_S = 20.0
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be, or as it is: its partitions and its settings."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between a topic as it should be and as it is.

    Attributes:
        topic: the topic as it should be.
        create: whether it does not exist yet.
        grow_from: its present number of partitions, if that is too small.
        settings: names of settings that differ.
        too_many: its present number of partitions, if that is too large, which Kafka cannot change.
    """

    topic: Topic
    create: bool = False
    grow_from: int | None = None
    settings: tuple[str, ...] = ()
    too_many: int | None = None

    @property
    def needed(self) -> bool:
        """Whether anything must be done."""
        return self.create or self.grow_from is not None or bool(self.settings)

    @property
    def description(self) -> str:
        """A text that says what is done."""
        if self.create:
            return "created"
        words = [f"set {name}" for name in self.settings]
        if self.grow_from is not None:
            words.append(f"grown from {self.grow_from} partitions")
        if self.too_many is not None:
            words.append(f"keeps {self.too_many} partitions: Kafka cannot take any away")
        return ", ".join(words) or "as it should be"


def wanted_topics(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of the stack, except Kafka Connect's own three, which it makes itself."""
    retention = settings.raw_retention_hours * _HOUR_MS
    raw = _personal_data(retention) | {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    masked = _keep(7 * _DAY_MS)
    small = _keep(_HOUR_MS)
    return (
        *(Topic(table.raw_topic, settings.kafka_partitions, raw) for table in tables().values()),
        *(Topic(table.masked_topic, settings.kafka_partitions, masked) for table in tables().values()),
        Topic(DEAD_LETTER_TOPIC, 1, _keep(30 * _DAY_MS)),
        Topic(DRIFT_TOPIC, 1, _keep(30 * _DAY_MS)),
        Topic(RECONCILED_TOPIC, 1, _keep(30 * _DAY_MS)),
        *(Topic(name, 1, small) for name in HEARTBEAT_TOPICS),
    )


def plan_changes(wanted: Iterable[Topic], present: Mapping[str, Topic]) -> list[Change]:
    """Compare the topics as they should be with those that exist."""
    return [_change(topic, present.get(topic.name)) for topic in wanted]


def present_topics(settings: Settings, names: Iterable[str]) -> dict[str, Topic]:
    """Read which of the named topics exist, with their settings.

    Raises:
        Fault: Kafka does not answer.
    """
    admin = admin_client(settings)
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT_S).topics
        found = {name: metadata[name] for name in names if name in metadata}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
        configs = admin.describe_configs(resources, request_timeout=_TIMEOUT_S) if resources else {}
        chosen = {resource.name: _settings(future) for resource, future in configs.items()}
    except KafkaException as error:
        raise unreachable(settings, error) from error
    return {name: Topic(name, len(info.partitions), chosen[name]) for name, info in found.items()}


def apply_changes(admin: AdminClient, changes: Iterable[Change]) -> None:
    """Create topics, add partitions and change settings, where it is needed.

    Raises:
        Fault: Kafka refuses a change.
    """
    for change in changes:
        if change.create:
            _done(change, admin.create_topics([_new_topic(change.topic)]))
        if change.grow_from is not None:
            grown = NewPartitions(change.topic.name, change.topic.partitions)
            _done(change, admin.create_partitions([grown]))
        if change.settings:
            _done(change, admin.incremental_alter_configs([_new_settings(change)]))


def _change(wanted: Topic, present: Topic | None) -> Change:
    if present is None:
        return Change(wanted, create=True)
    missing = wanted.partitions - present.partitions
    return Change(
        wanted,
        grow_from=present.partitions if missing > 0 else None,
        settings=tuple(name for name, value in wanted.config.items() if present.config.get(name) != value),
        too_many=present.partitions if missing < 0 else None,
    )


def _keep(milliseconds: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}


def _personal_data(retention_ms: int) -> dict[str, str]:
    # Kafka deletes only whole closed segments. A segment that stays open for a week, the default, would keep
    # personal data for that long, whatever the retention is.
    segment_ms = max(_MINUTE_MS, min(_HOUR_MS, retention_ms // 4))
    return _keep(retention_ms) | {"segment.ms": str(segment_ms)}


def _settings(future: Future[Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in result_of(future).items()}


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(
        topic.name, num_partitions=topic.partitions, replication_factor=1, config=dict(topic.config)
    )


def _new_settings(change: Change) -> ConfigResource:
    entries = [
        ConfigEntry(name, change.topic.config[name], incremental_operation=AlterConfigOpType.SET)
        for name in change.settings
    ]
    return ConfigResource(ResourceType.TOPIC, change.topic.name, incremental_configs=entries)


def _done(change: Change, futures: dict[Any, Future[Any]]) -> None:
    try:
        for future in futures.values():
            result_of(future)
    except KafkaException as error:
        raise Fault(f"Kafka refuses to change topic {change.topic.name}: {reason(error)}") from error
