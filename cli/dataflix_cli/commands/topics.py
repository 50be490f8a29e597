"""The command ``dataflix topics``: lists Kafka's topics and shows their records."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from rich.console import Console
from rich.markup import escape

from dataflix_cli import output
from dataflix_cli.command_faults import AwayFault, NotFoundFault, UsageFault
from dataflix_cli.command_line import AsJson
from dataflix_clients.kafka import is_end, open_consumer, read_to_end, read_topics, reason
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import RAW_TOPIC_PREFIX

app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

_SECONDS = 5
_POLL_SECONDS = 0.5
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic. Key and value are parsed if they are JSON, and otherwise text.

    Attributes:
        timestamp: when the record was written, RFC 3339 in UTC.
    """

    partition: int
    offset: int
    timestamp: str
    key: Any
    value: Any
    headers: dict[str, str]


def holds_personal_data(topic: str) -> bool:
    """Whether Debezium writes the topic: it then holds rows that are not masked yet."""
    return topic.startswith(f"{RAW_TOPIC_PREFIX}.")


def tail_topic(
    settings: Settings, topic: str, number: int | None, *, from_beginning: bool, follow: bool
) -> Iterator[Record]:
    """Yield a topic's newest or oldest records, oldest first.

    Args:
        settings: they say where Kafka is.
        topic: the topic's name.
        number: how many records; None: the last 10, or all if from the beginning.
        from_beginning: whether to give the oldest records instead of the newest.
        follow: whether to wait for further records after these, without end.

    Raises:
        NotFoundFault: there is no such topic.
        KafkaException: Kafka does not answer, or no longer answers.
    """
    last = None if from_beginning else (number or 10)
    consumer = open_consumer(settings, "dataflix-cli")
    try:
        starts = _starts(consumer, topic, last)
        found = sorted(
            map(_record, read_to_end(consumer, starts, _SECONDS)),
            key=lambda one: (one.timestamp, one.partition, one.offset),
        )
        if last is not None:
            found = found[-last:]
        yield from found[:number] if from_beginning else found
        while follow:
            messages = consumer.consume(_BATCH, timeout=_POLL_SECONDS)
            yield from (_record(message) for message in messages if not is_end(message))
    finally:
        consumer.close()


def _starts(consumer: Consumer, topic: str, last: int | None) -> list[TopicPartition]:
    """Where to begin reading each partition; None: at its beginning, else at most ``last`` before its end."""
    there = consumer.list_topics(timeout=_SECONDS).topics
    if topic not in there:
        raise NotFoundFault(f"there is no topic {topic!r}", "dataflix topics lists them")
    starts = []
    for number in there[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_SECONDS)
        starts.append(TopicPartition(topic, number, low if last is None else max(low, high - last)))
    return starts


def _record(message: Message) -> Record:
    written = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    return Record(
        message.partition() or 0,
        message.offset() or 0,
        written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        _understood(message.key()),
        _understood(message.value()),
        {name: str(_understood(value)) for name, value in message.headers() or []},
    )


def _understood(part: bytes | str | None) -> Any:
    if part is None:
        return None
    try:
        return json.loads(part)
    except ValueError:
        return part if isinstance(part, str) else part.decode(errors="replace")


@app.callback()
def topics(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Look into Kafka's topics. Without a command, they are listed."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the topics with their partitions and records, and how far behind their readers are."""
    _list(as_json=as_json)


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="Such as masked.ratings.")],
    number: Annotated[
        int | None, typer.Option("--number", "-n", min=1, help="How many records: the last 10 by default.")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="The oldest ones instead: all, or -n of them.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    personal_data: Annotated[
        bool, typer.Option("--personal-data", help="Show a raw topic, although it holds personal data.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document; with --follow an object a line.")
    ] = False,
) -> None:
    """Show a topic's records, oldest first."""
    if holds_personal_data(topic) and not personal_data:
        raise UsageFault(
            f"{topic} is as Debezium captured it: names and addresses are readable there",
            f"look at masked.{topic.rpartition('.')[2]}, or say --personal-data if you may see them",
        )
    with _settings() as settings:
        records = tail_topic(settings, topic, number, from_beginning=from_beginning, follow=follow)
        if as_json and not follow:
            output.print_json({"topic": topic, "items": [dataclasses.asdict(one) for one in records]})
            return
        show = _print_line if as_json else _Lines(output.console())
        for record in records:
            show(record)


def _list(*, as_json: bool) -> None:
    with _settings() as settings:
        found = read_topics(settings)
    items = [{**dataclasses.asdict(one), "personal_data": holds_personal_data(one.name)} for one in found]
    output.emit({"items": items}, as_json=as_json, show=_show_topics)


@contextmanager
def _settings() -> Iterator[Settings]:
    """Give the stack's settings to a block that asks Kafka, and turn Kafka's errors into faults.

    Raises:
        UsageFault: the settings cannot be used.
        AwayFault: Kafka does not answer, or no longer answers.
    """
    try:
        settings = load_settings()
    except SettingsError as fault:
        raise UsageFault(str(fault), "correct the stack's .env") from fault
    try:
        yield settings
    except KafkaException as fault:
        raise AwayFault(
            f"Kafka at {settings.kafka_bootstrap} does not answer: {reason(fault)}",
            "is it running? ./run.sh starts it, dataflix status shows what runs",
        ) from fault
    except Fault as fault:  # Kafka answered at first, and then no longer
        raise AwayFault(str(fault), "dataflix status shows what is wrong") from fault


def _print_line(record: Record) -> None:
    sys.stdout.write(output.json_text(dataclasses.asdict(record), sys.stdout) + "\n")
    sys.stdout.flush()


class _Lines:
    """Prints each record as a line with its place, time and key, and its value on the next line."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen

    def __call__(self, record: Record) -> None:
        place = f"[cyan]{record.partition}:{record.offset}[/]  [dim]{record.timestamp}[/]"
        self._screen.print(f"{place}  {escape(_compact(record.key))}", soft_wrap=True)
        self._screen.print(f"  {_compact(record.value)}", markup=False, soft_wrap=True)


def _compact(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)


def _show_topics(screen: Console, document: Any) -> None:
    rows = output.table(
        "topic", "partitions", "records", "read by", "lag", right=["partitions", "records", "lag"]
    )
    for one in document["items"]:
        private = " [red]personal data[/]" if one["personal_data"] else ""
        rows.add_row(
            escape(one["name"]) + private,
            str(one["partitions"]),
            f"{one['records']:,}",
            one["reader"],
            f"{one['lag']:,}" if one["reader"] else "",
        )
    screen.print(rows)
