"""Kafka's side of the topics: read what is there, apply what must change."""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from dataflix_connectors.topics import Change, Topic, captured_topics
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.terminal import cannot_use

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class CaptureTopics:
    """The topics that Debezium writes to.

    Attributes:
        missing: those that do not exist.
        silent_s: seconds since anything was written to any of them; nothing where they hold no record.
    """

    missing: tuple[str, ...]
    silent_s: float | None


def admin_client(settings: Settings) -> AdminClient:
    """A client that gives up within seconds and does not chatter on stderr."""
    return AdminClient(settings.kafka_client | {"log_level": 0})


def away(settings: Settings, error: KafkaException) -> Fault:
    """What to tell people when Kafka does not answer."""
    return Fault(cannot_use("Kafka", settings.kafka_bootstrap, _reason(error)))


def present_topics(settings: Settings, names: Iterable[str]) -> dict[str, Topic]:
    """Those of the named topics that exist, with their settings.

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
        raise away(settings, error) from error
    return {name: Topic(name, len(info.partitions), chosen[name]) for name, info in found.items()}


def read_capture_topics(settings: Settings, timeout_s: float = _TIMEOUT_S) -> CaptureTopics:
    """Look at the topics that Debezium writes to, without reading any record.

    Raises:
        Fault: Kafka does not answer.
    """
    admin = admin_client(settings)
    try:
        present = admin.list_topics(timeout=timeout_s).topics
        wanted = captured_topics()
        partitions = [
            TopicPartition(name, number)
            for name in wanted
            if name in present
            for number in present[name].partitions
        ]
        newest = _newest_timestamps(admin, partitions, timeout_s)
    except KafkaException as error:
        raise away(settings, error) from error
    missing = tuple(name for name in wanted if name not in present)
    return CaptureTopics(missing, max(0.0, time.time() - max(newest) / 1000) if newest else None)


def apply_changes(admin: AdminClient, changes: Iterable[Change]) -> None:
    """Create, grow and set up topics; changes that are not needed are left out.

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


def _newest_timestamps(admin: AdminClient, partitions: list[TopicPartition], timeout_s: float) -> list[int]:
    """The time of the newest record of each partition that has one, in milliseconds since the epoch."""
    if not partitions:
        return []
    newest: OffsetSpec = OffsetSpec.max_timestamp()
    asked = dict.fromkeys(partitions, newest)
    # The library's type hints know neither the result's attributes nor the default arguments.
    futures: dict[TopicPartition, Any] = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout_s
    )
    found = [future.result(timeout=timeout_s) for future in futures.values()]
    return [one.timestamp for one in found if one.timestamp > 0]


def _settings(future: Future[Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in future.result().items()}


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
            future.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise Fault(f"Kafka refuses to change topic {change.topic.name}: {_reason(error)}") from error


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
