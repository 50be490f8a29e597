"""Events per second of the masker, and of a bare loop of confluent-kafka beside it.

    .dataflix/envs/tests/bin/python benchmarks/masker_throughput.py

Starts a Kafka of its own, makes the topics, fills the raw ones
once with 1 KB envelopes, and lets the real masker and the bare loop (consume, mask
with the same function, produce idempotently, flush, commit) read all of it in turn.
Both run on one core of their own. The clock is the group's committed offset, so
that only what was delivered and committed counts:

    at work   from the first commit seen to the last
    over all  from the start of the process to the last commit
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from dataflix_contract import Masking, Settings, load_settings, tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC, MASKER_GROUP
from dataflix_stack.port_conflicts import is_free
from dataflix_stream_processors.message_masker import Masked, TableMasker
from lone_kafka import lone_kafka

ENVELOPE_BYTES = 1024
TABLES = ("users", "ratings")
BATCH = 2000
ROUND_SECONDS = 180.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Record(NamedTuple):
    """A message of confluent-kafka in the shape that the masker reads."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] | None


@dataclass(frozen=True)
class Result:
    """One round of one program."""

    at_work: float
    over_all: float
    cpu_per_thousand: float


def rows(number: int) -> dict[str, dict[str, object]]:
    """One row of each table that is measured."""
    now = "2026-01-01T00:00:00.123456Z"
    person = number % 50_000
    return {
        "users": {
            "user_id": person, "name": f"Zoë Müller {person}", "email": f"zoe.{person}@example.org",
            "birth_year": 1980, "city": "Berlin", "state": "BE", "created_at": now, "updated_at": now,
        },
        "ratings": {
            "user_id": person, "movie_id": number % 9000, "rating": "4.5", "rated_at": now, "updated_at": now,
        },
    }  # fmt: skip


def envelope(table: str, row: dict[str, object], number: int) -> bytes:
    """An update as Debezium writes it, filled up to 1 KB."""
    source = {
        "version": "3.7.0.Final", "connector": "postgresql", "name": "cdc", "ts_ms": 1_767_225_600_000,
        "snapshot": "false", "db": "dataflix", "sequence": "", "ts_us": 1_767_225_600_000_000,
        "schema": "public", "table": table, "txId": number, "lsn": 24_023_128 + number, "xmin": None,
    }  # fmt: skip
    value = {
        "before": row, "after": row, "source": source, "transaction": None, "op": "u",
        "ts_ms": 1_767_225_600_001, "ts_us": 1_767_225_600_001_000,
    }  # fmt: skip
    source["sequence"] = "0" * max(0, ENVELOPE_BYTES - len(orjson.dumps(value)))
    return orjson.dumps(value)


def messages(events: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Topic, key and value of each event."""
    contract = tables()
    for number in range(events):
        name = TABLES[number % len(TABLES)]
        row = rows(number)[name]
        key = orjson.dumps({column: row[column] for column in contract[name].key})
        yield contract[name].raw_topic, key, envelope(name, row, number)


def fill(bootstrap: str, partitions: int, events: int) -> None:
    """Make the topics and the backlog."""
    topics = [
        NewTopic(topic, partitions, 1)
        for table in tables().values()
        for topic in (table.raw_topic, table.masked_topic)
    ]
    topics += [NewTopic(topic, 1, 1) for topic in (DEAD_LETTER_TOPIC, DRIFT_TOPIC)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        for made in admin.create_topics(topics).values():
            made.result()
    except KafkaException as error:
        sys.exit(f"this needs a Kafka without Dataflix's topics: {error}")
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    for topic, key, value in messages(events):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def bare(bootstrap: str) -> None:
    """The loop that the masker is compared with."""
    settings = load_settings()
    masking = Masking(settings.masking_key.get_secret_value(), settings.masking_key_id)
    maskers = {
        table.raw_topic: TableMasker(table, masking, settings.masker_max_bytes) for table in tables().values()
    }
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": MASKER_GROUP, "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
    })  # fmt: skip
    producer = Producer({
        "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5,
        "delivery.report.only.error": True, "queue.buffering.max.messages": 1_000_000,
    })  # fmt: skip
    consumer.subscribe(list(maskers))
    while True:
        batch = consumer.consume(BATCH, 0.05)
        if not batch:
            continue
        for message in batch:
            masker = maskers[message.topic() or ""]
            outcome = masker.decide(Record(message.key(), message.value(), message.headers()))
            if isinstance(outcome, Masked):
                producer.produce(masker.table.masked_topic, outcome.value, outcome.key, message.partition())
        if producer.flush(30):
            sys.exit("not everything was delivered")
        consumer.commit(asynchronous=False)


def committed(admin: AdminClient, ends: dict[TopicPartition, int]) -> int:
    """How many messages the group has committed."""
    ask = [ConsumerGroupTopicPartitions(MASKER_GROUP, list(ends))]
    answer = next(iter(admin.list_consumer_group_offsets(ask).values())).result()
    return sum(max(0, partition.offset) for partition in answer.topic_partitions)


def end_offsets(bootstrap: str, partitions: int) -> dict[TopicPartition, int]:
    """Each raw partition that has data, and its end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "masker-throughput"})
    asked = [
        TopicPartition(tables()[name].raw_topic, number) for name in TABLES for number in range(partitions)
    ]
    ends = {partition: consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in asked}
    consumer.close()
    return ends


def forget_group(admin: AdminClient) -> None:
    """Let the next program start from the beginning."""
    for _ in range(100):
        try:
            for done in admin.delete_consumer_groups([MASKER_GROUP]).values():
                done.result()
        except KafkaException as error:
            if error.args[0] == KafkaError.GROUP_ID_NOT_FOUND:
                return
            time.sleep(0.2)
        else:
            return
    sys.exit("the consumer group still has members")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def measure(
    command: list[str], admin: AdminClient, ends: dict[TopicPartition, int], core: int | None
) -> Result:
    """Run one program over the whole backlog."""
    total = sum(ends.values())
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        first, done = None, 0
        while done < total:
            if process.poll() is not None or time.monotonic() - started > ROUND_SECONDS:
                sys.exit(f"{command[0]} ended or hangs at {done} of {total}")
            time.sleep(0.05)
            done = committed(admin, ends)
            if first is None and done:
                first = (time.monotonic(), done)
        ended = time.monotonic()
        cpu = cpu_seconds(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    since, had = first or (started, 0)
    at_work = (total - had) / (ended - since) if ended > since else 0.0
    return Result(at_work, total / (ended - started), cpu / total * 1000)


def show(name: str, results: list[Result]) -> float:
    """Print one program's rounds; its median at work."""
    rates = [result.at_work for result in results]
    median = statistics.median(rates)
    print(
        f"{name:8} at work median {median:8,.0f}/s (min {min(rates):,.0f}, max {max(rates):,.0f}),"
        f" over all {statistics.median(result.over_all for result in results):8,.0f}/s,"
        f" CPU {statistics.median(result.cpu_per_thousand for result in results):.3f} s per 1,000 events"
    )
    return median


def main() -> None:
    """Fill, run in turn, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bootstrap", help="a Kafka without Dataflix's topics (default: one of its own)")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--core", type=int, help="core of the measured program (default: the last one)")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bootstrap)
    require_free_port(load_settings())
    with nullcontext(options.bootstrap) if options.bootstrap else lone_kafka() as bootstrap:
        compare(bootstrap, options)


def require_free_port(settings: Settings) -> None:
    """End here where the measured masker could not listen: it would end at once, without a word."""
    if not is_free(settings.bind, settings.masker_port):
        sys.exit(
            f"port {settings.masker_port} is in use, probably by the masker of a running stack:"
            " stop that with ./stop.sh, or set DATAFLIX_MASKER_PORT to a free port for this run"
        )


def compare(bootstrap: str, options: argparse.Namespace) -> None:
    """Fill the topics, run both programs in turn, print."""
    fill(bootstrap, options.partitions, options.events)
    cores = sorted(os.sched_getaffinity(0))
    core = options.core if options.core is not None else (cores[-1] if len(cores) > 1 else None)
    host, port = bootstrap.rsplit(":", 1)
    os.environ |= {"DATAFLIX_KAFKA_HOST": host, "DATAFLIX_KAFKA_PORT": port}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    ends = end_offsets(bootstrap, options.partitions)
    programs = {
        "masker": [str(Path(sys.executable).with_name("dataflix-masker")), "--worker", "0"],
        "bare": [sys.executable, __file__, "--bare", "--bootstrap", bootstrap],
    }
    results: dict[str, list[Result]] = {name: [] for name in programs}
    for round_number in range(options.rounds):
        for name, command in programs.items():
            forget_group(admin)
            result = measure(command, admin, ends, core)
            results[name].append(result)
            print(f"round {round_number + 1} {name:8} {result.at_work:8,.0f}/s", flush=True)
    masker, loop = (show(name, rounds) for name, rounds in results.items())
    print(f"ratio masker / bare {masker / loop:.2f}")


if __name__ == "__main__":
    main()
