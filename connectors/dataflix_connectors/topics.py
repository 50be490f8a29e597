"""The topics that the stack needs, and what has to change so that Kafka has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataflix_contract import Settings, tables
from dataflix_contract.schema import (
    DEAD_LETTER_TOPIC,
    DRIFT_TOPIC,
    HEARTBEAT_TABLE,
    MAX_MESSAGE_BYTES,
    RAW_TOPIC_PREFIX,
    RECONCILED_TOPIC,
    SOURCE_SCHEMA,
)

#: Debezium's own name for the topic of its heartbeat messages.
HEARTBEAT_TOPIC = f"__debezium-heartbeat.{RAW_TOPIC_PREFIX}"
_HEARTBEAT_TABLE_TOPIC = f"{RAW_TOPIC_PREFIX}.{SOURCE_SCHEMA}.{HEARTBEAT_TABLE}"

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be, or as it is: partitions, and settings that are not Kafka's defaults."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What must be done to one topic.

    Attributes:
        topic: the topic as it should be.
        create: it does not exist yet.
        grow_from: its present number of partitions when that is too small.
        settings: names of settings that differ.
        too_many: it has more partitions than wanted, which Kafka cannot undo.
    """

    topic: Topic
    create: bool = False
    grow_from: int | None = None
    settings: tuple[str, ...] = ()
    too_many: int | None = None

    @property
    def needed(self) -> bool:
        """Whether anything is to be done."""
        return self.create or self.grow_from is not None or bool(self.settings)

    @property
    def description(self) -> str:
        """What is done, in words."""
        if self.create:
            return "created"
        words = [f"set {name}" for name in self.settings]
        if self.grow_from is not None:
            words.append(f"grown from {self.grow_from} partitions")
        if self.too_many is not None:
            words.append(f"keeps {self.too_many} partitions: Kafka cannot take any away")
        return ", ".join(words) or "as it should be"


def wanted_topics(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of the stack. Connect makes its own three itself."""
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
        Topic(HEARTBEAT_TOPIC, 1, small),
        Topic(_HEARTBEAT_TABLE_TOPIC, 1, small),
    )


def captured_topics() -> tuple[str, ...]:
    """The topics that Debezium writes to."""
    return (*(table.raw_topic for table in tables().values()), HEARTBEAT_TOPIC, _HEARTBEAT_TABLE_TOPIC)


def plan_changes(wanted: Iterable[Topic], present: Mapping[str, Topic]) -> list[Change]:
    """Compare the topics that should be with those that are."""
    return [_change(topic, present.get(topic.name)) for topic in wanted]


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
    # Kafka deletes whole closed segments: a segment that stays open for its default week
    # would keep personal data that long, whatever the retention says.
    segment_ms = max(_MINUTE_MS, min(_HOUR_MS, retention_ms // 4))
    return _keep(retention_ms) | {"segment.ms": str(segment_ms)}
