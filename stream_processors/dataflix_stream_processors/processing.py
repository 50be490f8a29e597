"""Process a poll: mask its messages, send the results, and wait until the broker has them.

A message that is refused becomes a dead letter (``dead_letter_record.py``), and the others go on.
A column that the contract does not know is drift: it is reported once, by its name only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from dataflix_contract.masking import Masking
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC, Table
from dataflix_stream_processors.dead_letter_record import Refused, dead_letter
from dataflix_stream_processors.delivery import Delivery
from dataflix_stream_processors.message_masker import Masked, TableMasker
from dataflix_stream_processors.monitoring import Metrics

log = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000
#: Every refused message has its dead letter; the log names this many of a batch.
_LOGGED_REFUSALS = 10
#: PostgreSQL cuts identifiers to this length; a longer "name" did not come from DDL and is not repeated.
MAX_NAME_BYTES = 63
#: A broken source must not fill the metrics with names.
MAX_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class DriftNotice:
    """A column that is not forwarded until the contract gives it a class."""

    table: str
    column: str
    first_seen: float
    source_us: int

    def to_json(self) -> bytes:
        """The message for the drift topic."""
        return orjson.dumps(
            {
                "table": self.table,
                "column": self.column,
                "first_seen_ms": int(self.first_seen * 1000),
                "source_ts_us": self.source_us,
            }
        )


class DriftLog:
    """Remembers which columns this process has reported."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def new(self, table: str, columns: Iterable[str], source_us: int) -> list[DriftNotice]:
        """Notices for the columns that are seen for the first time."""
        return [
            DriftNotice(table, column, time.time(), source_us)
            for column in sorted(columns)
            if self._is_new(table, column)
        ]

    def knows(self, table: str, column: str) -> bool:
        """Whether the column was reported, so that its name may label a metric."""
        return (table, column) in self._seen

    def _is_new(self, table: str, column: str) -> bool:
        if (table, column) in self._seen or len(self._seen) >= MAX_COLUMNS:
            return False
        if len(column.encode()) > MAX_NAME_BYTES:
            return False
        self._seen.add((table, column))
        return True


class Processor:
    """Masks polls; a poll is done when ``process`` returns.

    Args:
        tables: the contract.
        masking: the pseudonyms.
        max_bytes: the largest raw message that is read.
        delivery: the producer.
        metrics: where to count.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        masking: Masking,
        max_bytes: int,
        delivery: Delivery,
        metrics: Metrics,
    ) -> None:
        self._maskers = {table.raw_topic: TableMasker(table, masking, max_bytes) for table in tables.values()}
        self._masking = masking
        self._delivery = delivery
        self._metrics = metrics
        self._drift = DriftLog()

    async def process(self, poll: Mapping[Any, list[Any]]) -> None:
        """Mask and deliver a poll.

        Raises:
            DeliveryError: the broker did not take everything; nothing may be acknowledged.
        """
        started = time.perf_counter()
        newest_us = 0
        for (topic, partition), records in poll.items():
            newest_us = max(newest_us, self._send_all(self._maskers[topic], partition, records))
            await asyncio.sleep(0)
        await asyncio.to_thread(self._delivery.finish)
        self._metrics.batch_size.observe(sum(map(len, poll.values())))
        self._metrics.batch_seconds.observe(time.perf_counter() - started)
        if newest_us:
            self._metrics.age.set(time.time() - newest_us / _MICROSECONDS)

    def _send_all(self, masker: TableMasker, partition: int, records: list[Any]) -> int:
        """Mask and send one partition's records; return the newest one's commit time, or 0."""
        table, topic = masker.table.name, masker.table.masked_topic
        outcomes: Counter[tuple[str, str]] = Counter()
        decide, send = masker.decide, self._delivery.send
        bytes_out = newest_us = refused = 0
        for record in records:
            outcome = decide(record)
            if type(outcome) is Masked:
                send(topic, outcome.key, outcome.value, partition)
                outcomes[outcome.op, "masked"] += 1
                bytes_out += len(outcome.value)
                newest_us = outcome.source_us
                if outcome.unknown:
                    self._tell_drift(table, outcome)
            elif type(outcome) is Refused:
                refused += 1
                self._refuse(masker.table, outcome, record, quiet=refused > _LOGGED_REFUSALS)
                outcomes[outcome.op or "none", "refused"] += 1
            else:
                outcomes["none", "skipped"] += 1
        self._count(table, outcomes, sum(len(record.value or b"") for record in records), bytes_out)
        return newest_us

    def _count(self, table: str, outcomes: Counter[tuple[str, str]], bytes_in: int, bytes_out: int) -> None:
        for (op, outcome), count in outcomes.items():
            self._metrics.events.labels(table, op, outcome).inc(count)
        self._metrics.bytes_in.labels(table).inc(bytes_in)
        self._metrics.bytes_out.labels(table).inc(bytes_out)

    def _refuse(self, table: Table, refused: Refused, record: Any, *, quiet: bool) -> None:
        letter = dead_letter(refused, record, table.name, self._masking)
        self._delivery.send(DEAD_LETTER_TOPIC, str(letter.position).encode(), letter.to_json())
        self._metrics.dead_letters.labels(refused.reason.value).inc()
        if not quiet:
            log.warning("refused %s: %s: %s", letter.position, refused.reason, refused.detail)

    def _tell_drift(self, table: str, masked: Masked) -> None:
        for notice in self._drift.new(table, masked.unknown, masked.source_us):
            self._delivery.send(DRIFT_TOPIC, f"{table}.{notice.column}".encode(), notice.to_json())
            log.warning(
                "%s.%s is not in the contract and not forwarded: give it a class in tables.toml",
                table,
                notice.column,
            )
        for column in masked.unknown:
            if self._drift.knows(table, column):
                self._metrics.drift.labels(table, column).inc()
