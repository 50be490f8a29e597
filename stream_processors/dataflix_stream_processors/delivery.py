"""The Kafka producer of the masker and of ``dataflix-dlq``: idempotent, and it waits for the broker."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from dataflix_clients import kafka
from dataflix_contract.faults import cannot_use
from dataflix_contract.schema import MAX_MESSAGE_BYTES

log = logging.getLogger("kafka.producer")

#: How long a broker may take to acknowledge a batch before the masker gives up and restarts.
DELIVERY_TIMEOUT_SECONDS = 30.0

_MILLISECONDS = 1000
_ANY_PARTITION = -1
_PING_SECONDS = 2.0


class DeliveryError(Exception):
    """The broker did not take what was sent; nothing of the batch may be acknowledged."""


class Delivery:
    """Sends messages and says when all of them have arrived.

    Args:
        client: how the broker is reached: ``Settings.kafka_client``.
        client_id: name of this client in the broker's logs.
    """

    def __init__(self, client: Mapping[str, str], client_id: str) -> None:
        self._errors: list[KafkaError] = []
        self._address = client["bootstrap.servers"]
        self._producer = Producer(
            {
                **client,
                "client.id": client_id,
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_SECONDS * _MILLISECONDS),
                # A callback for each success would cost more than the masking.
                "delivery.report.only.error": True,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "on_delivery": self._on_delivery,
                "error_cb": _on_error,
                "log_level": 0,  # errors are reported by error_cb
            }
        )

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int = _ANY_PARTITION,
        headers: list[tuple[str, str | bytes]] | None = None,
    ) -> None:
        """Hand one message to the producer's queue; without a partition the key chooses it.

        Raises:
            DeliveryError: the queue does not take it.
        """
        try:
            self._producer.produce(topic, value, key, partition, headers=headers)
        except (KafkaException, BufferError) as error:
            raise DeliveryError(f"{topic}[{partition}]: {error}") from error

    def finish(self) -> None:
        """Wait until the broker has acknowledged everything that was sent. Blocks.

        Raises:
            DeliveryError: something did not arrive in time, or was refused.
        """
        left = self._producer.flush(DELIVERY_TIMEOUT_SECONDS + 1)
        if self._errors:
            raise DeliveryError(f"{len(self._errors)} messages refused, first: {self._errors[0].str()}")
        if left:
            raise DeliveryError(f"{left} messages not acknowledged in {DELIVERY_TIMEOUT_SECONDS:.0f} s")

    def partitions(self) -> dict[str, int]:
        """How many partitions each topic has; this also shows that the broker answers. Blocks.

        Raises:
            DeliveryError: the broker does not answer.
        """
        try:
            topics = self._producer.list_topics(timeout=_PING_SECONDS).topics
        except KafkaException as error:
            raise DeliveryError(cannot_use("Kafka", self._address, kafka.reason(error))) from error
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._errors.append(error)


def _on_error(error: KafkaError) -> None:
    log.warning("kafka producer: %s", error.str())
