"""``dataflix-dlq``: look at the messages that the masker refused, and send them again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer
from confluent_kafka import KafkaException
from rich.markup import escape
from rich.table import Column
from rich.table import Table as RichTable

from dataflix_clients import kafka
from dataflix_contract import Settings
from dataflix_contract.console import Console
from dataflix_contract.faults import fail, program_settings
from dataflix_contract.terminal import make_output_safe, visible
from dataflix_stream_processors.dead_letter_record import cure
from dataflix_stream_processors.dead_letter_replay import DeadLetterBox, Entry, NotKeptError, Replayed
from dataflix_stream_processors.delivery import DeliveryError

make_output_safe()
app = typer.Typer(
    help="Look at the messages that the masker refused, and send them again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also those that were sent again, or whose rows are repaired.")
    ] = False,
) -> None:
    """Show the dead letters that somebody has to do something about."""
    with _opened() as box:
        entries = [entry for entry in box.entries() if show_all or entry.waits]
    if as_json:
        for entry in entries:
            sys.stdout.buffer.write(orjson.dumps(entry) + b"\n")
    else:
        _print(entries)


@app.command()
def replay(
    letter: Annotated[
        str | None,
        typer.Option("--id", help="topic:partition:offset, or partition:offset if only one topic has it."),
    ] = None,
    replay_all: Annotated[bool, typer.Option("--all", help="Every one that waits.")] = False,
) -> None:
    """Send original messages to their raw topic again, to be masked with today's contract.

    This does not undo newer changes of a row: in the warehouse, the newer version wins.
    """
    if (letter is None) == (not replay_all):
        fail("say which: --id ID or --all", code=2)
    with _opened() as box:
        chosen = _chosen(box.entries(), letter)
        sent, gone = _replay(box, chosen)
        refused, undecided = box.refused_again(sent)
    sys.stdout.write(f"{len(sent)} sent again, {gone} no longer kept\n")
    for entry in refused:
        refusal = entry.letter
        told = f"{refusal.position}: refused again, {refusal.reason}: {refusal.detail}"
        sys.stdout.write(visible(told) + "\n")
    for reason in sorted({entry.letter.reason for entry in refused}):
        sys.stdout.write(f"{reason}: {cure(reason)}\n")
    if undecided:
        sys.stdout.write(
            f"{undecided} not masked yet: is the masker running? dataflix-dlq list shows what it refuses\n"
        )
    if gone:
        fail("the raw topic has deleted them: the next reconciliation repairs their rows")
    if refused:
        raise typer.Exit(1)


def _replay(box: DeadLetterBox, chosen: list[Entry]) -> tuple[list[Replayed], int]:
    sent, gone = [], 0
    for entry in chosen:
        try:
            sent.append(box.replay(entry))
        except NotKeptError:
            gone += 1
            sys.stdout.write(f"{entry.letter.position}: the original is no longer kept\n")
    return sent, gone


def _chosen(entries: list[Entry], letter: str | None) -> list[Entry]:
    if letter is None:
        return [entry for entry in entries if entry.waits]
    found = [entry for entry in entries if _is_named(entry, letter)]
    if not found:
        fail(f"there is no dead letter {letter}: see dataflix-dlq list --all")
    if len(found) > 1:
        fail(f"{letter} is in several topics: {', '.join(str(entry.letter.position) for entry in found)}")
    return found


def _is_named(entry: Entry, name: str) -> bool:
    position = entry.letter.position
    return name in (str(position), f"{position.partition}:{position.offset}")


def _print(entries: list[Entry]) -> None:
    if not entries:
        sys.stdout.write("no dead letters\n")
        return
    whole = [Column(name, no_wrap=True) for name in ("id", "reason", "op", "lsn", "bytes", "state")]
    table = RichTable(*whole, Column("detail", overflow="fold"), box=None)
    for entry in entries:
        letter = entry.letter
        table.add_row(
            str(letter.position),
            letter.reason,
            letter.op or "",
            str(letter.lsn or ""),
            str(letter.value_bytes),
            entry.state,
            escape(letter.detail),
        )
    console = Console()
    console.print(table)
    for reason in sorted({entry.letter.reason for entry in entries if entry.waits}):
        console.print(f"{reason}: {cure(reason)}", markup=False, highlight=False)


@contextmanager
def _opened() -> Iterator[DeadLetterBox]:
    """The dead letters; expected faults become a message and exit code 1."""
    with program_settings(_describe) as settings, DeadLetterBox(settings) as box:
        yield box


def _describe(error: Exception, settings: Settings) -> str | None:
    if isinstance(error, KafkaException):
        return str(kafka.unreachable(settings, error))
    return f"Kafka: {error}" if isinstance(error, DeliveryError | ValueError) else None
