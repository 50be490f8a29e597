"""Faust's consumer, made to hand over whole polls.

Three things of the stock driver stand in the way of a masker (docs/decisions/masker-polls.md):

- it asks the broker to hold an empty fetch for 1.5 s, and sends one fetch at a time
  to a broker: partitions that were just read wait for those that have nothing;
- it wakes several tasks and takes several locks for each record;
- it takes any hole in the offsets for compaction and commits past it.

Here one event is one poll, and its offsets are committed when it was acknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Any, cast

import aiokafka  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode import ServiceT
from mode.utils.futures import notify

#: How long the broker holds a fetch that has nothing to return. Long enough to be
#: cheap when idle, short enough to be no stall for the partitions that have data.
FETCH_MAX_WAIT_MS = 50

Poll = Mapping[TP, list[Any]]

log = logging.getLogger(__name__)


class PollThread(driver.AIOKafkaConsumerThread):
    """The driver's thread, with a short fetch."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has it fixed at 1500, and aiokafka reads it when the consumer starts.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001
        return consumer


class PollConsumer(driver.Consumer):
    """Delivers one event for each poll; its value maps partitions to their records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._holes: dict[TP, int] = {}
        self._done: dict[TP, int] = {}

    def _new_consumer_thread(self) -> PollThread:
        return PollThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was done in partitions that may come back at another offset."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._done.pop(tp, None)
            self._holes.pop(tp, None)

    def lags(self) -> dict[TP, int]:
        """Messages that are not yet masked, for each partition of this process."""
        lags = {}
        for tp in self.assignment():
            end = self.highwater(tp)
            if end is not None:
                done = self._done.get(tp) or self._committed_offset.get(tp) or 0
                lags[tp] = max(0, end - done)
        return lags

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing to do: a full stream makes ``_drain_messages`` wait."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing to do, as above."""

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_poll()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise

    async def _drain_poll(self) -> None:
        records, _ = await self._wait_next_records(1.0)
        if self.should_stop:
            return
        if not self.flow_active:
            # Fetched before a rebalance: whoever has the partitions afterwards reads this again.
            await self._try_seek(self.perform_seek())
            return
        poll = await self._without_gaps(records or {})
        if poll:
            await self.wait_first(self.callback(self._as_message(poll)), self.suspend_flow.wait())

    async def _without_gaps(self, records: Mapping[TP, list[Any]]) -> Poll:
        """The records, without those that do not directly follow what was read before.

        Raw topics have no holes, so a hole is a fetch that was thrown away: go back
        for it, once. What is then still missing was deleted by the topic's retention.
        """
        poll = {}
        for tp, batch in records.items():
            expected = self._read_offset[tp]
            if expected is not None and batch[0].offset > expected and self._holes.get(tp) != expected:
                log.warning("%s: offsets from %s to %s skipped, reading again", tp, expected, batch[0].offset)
                if await self._try_seek(self.seek_wait({tp: expected})):
                    self._holes[tp] = expected
                continue
            poll[tp] = batch
            self._read_offset[tp] = batch[-1].offset + 1
        return poll

    @staticmethod
    async def _try_seek(seek: Awaitable[None]) -> bool:
        """Whether a seek succeeded.

        It fails when a rebalance takes the partition away meanwhile. This does no harm:
        whoever gets the partition starts at the committed offset.
        """
        try:
            await seek
        except (KafkaError, AssertionError) as error:
            log.warning("seek given up: %s", error)
            return False
        return True

    def _as_message(self, poll: Poll) -> ConsumerMessage:
        tp, batch = next(iter(poll.items()))
        last = batch[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            cast(bytes, poll),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def ack(self, message: Message) -> bool:
        """Make every offset of a poll committable. Polls are acknowledged in their order."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        for tp, batch in cast(Poll, message.value).items():
            self._acked[tp] = [batch[-1].offset]
            self._done[tp] = batch[-1].offset + 1
        notify(self._waiting_for_ack)
        return True

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked.pop(tp, None)
        return acked[-1] + 1 if acked else None


class PollTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = PollConsumer
