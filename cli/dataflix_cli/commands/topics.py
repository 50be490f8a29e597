"""``dataflix topics``: what lies in Kafka."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape

from dataflix_cli import output
from dataflix_cli.faults import AwayFault, UsageFault
from dataflix_cli.options import AsJson
from dataflix_cli.topic_tail import Record, holds_personal_data, tail_topic
from dataflix_clients import kafka
from dataflix_clients.topic_states import read_topics
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault

app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def topics(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Look into Kafka's topics: without a command, list them."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the topics: partitions, records, and how far behind their reader is."""
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
    """The stack's settings, for as long as Kafka is asked.

    Raises:
        UsageFault: the settings cannot be used.
        AwayFault: Kafka does not answer.
    """
    try:
        settings = load_settings()
    except SettingsError as fault:
        raise UsageFault(str(fault), "repair the stack's .env") from fault
    try:
        yield settings
    except KafkaException as fault:
        raise AwayFault(
            f"Kafka at {settings.kafka_bootstrap} does not answer: {kafka.reason(fault)}",
            "is it running? ./run.sh starts it, dataflix status looks",
        ) from fault
    except Fault as fault:  # it answered first
        raise AwayFault(str(fault), "dataflix status looks what is wrong") from fault


def _print_line(record: Record) -> None:
    sys.stdout.write(output.json_text(dataclasses.asdict(record), sys.stdout) + "\n")
    sys.stdout.flush()


class _Lines:
    """Prints a line for a record, and its value below."""

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
