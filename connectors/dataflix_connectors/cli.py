"""``dataflix-connector``: topics, preflight, registration, status and repair of the capture."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table as RichTable

from dataflix_connectors import preflight as rules
from dataflix_connectors import registration, topic_admin, topics
from dataflix_connectors.connect import ConnectClient
from dataflix_connectors.faults import Fault
from dataflix_connectors.fence import DEFAULT_TIMEOUT_S
from dataflix_connectors.resnapshot import remove_ghosts, take_snapshot
from dataflix_connectors.slot import slot_health
from dataflix_connectors.source import connect_as_debezium, read_facts, read_slot
from dataflix_connectors.status import CaptureStatus, capture_status
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Topics, preflight, registration, status and repair of the capture.",
)
out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FenceTimeout = Annotated[
    float, typer.Option(min=0, help="Seconds that open transactions get to end before a snapshot.")
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds until the connector has to stream.")]


@app.command("topics")
def topics_command() -> None:
    """Create every topic, and bring those that exist to their settings."""
    with _session() as settings:
        wanted = topics.wanted_topics(settings)
        admin = topic_admin.admin_client(settings)
        present = topic_admin.present_topics(admin, [topic.name for topic in wanted])
        changes = topics.plan_changes(wanted, present)
        topic_admin.apply_changes(admin, changes)
        _print_table(
            ["topic", "partitions", "what was done"],
            [[change.topic.name, str(change.topic.partitions), change.description] for change in changes],
        )


@app.command()
def preflight(*, as_json: Json = False) -> None:
    """Check the source; exit code 1 when it cannot be captured."""
    with _session() as settings:
        findings = _findings(settings)
        if as_json:
            _print_json([dataclasses.asdict(f) | {"level": f.level.value} for f in findings])
        elif not findings:
            out.print("the source is fit to be captured")
        else:
            _print_findings(findings)
        if rules.faults(findings):
            raise typer.Exit(1)


@app.command()
def register(*, fence_timeout: FenceTimeout = DEFAULT_TIMEOUT_S, timeout: Timeout = 600.0) -> None:
    """Check the source, register the connector, and wait until it streams."""
    with _session() as settings, ConnectClient(settings) as connect:
        _refuse_faults(_findings(settings))
        registration.register(
            settings, connect, fence_timeout_s=fence_timeout, timeout_s=timeout, report=_report
        )
        out.print("the connector is running and streams")


@app.command()
def resnapshot(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ghosts: Annotated[
        bool, typer.Option(help="Remove rows from ClickHouse that the source no longer has.")
    ] = True,
    fence_timeout: FenceTimeout = DEFAULT_TIMEOUT_S,
    timeout: Timeout = 3600.0,
) -> None:
    """Begin again with a snapshot: the cure for a lost slot.

    Drops the slot, forgets the connector's offsets, captures every row anew, and removes the
    rows from ClickHouse that were deleted at the source while nobody was watching.
    """
    with _session() as settings, ConnectClient(settings) as connect:
        _refuse_faults([finding for finding in _findings(settings) if not finding.is_lost_slot])
        if not yes:
            typer.confirm("Drop the replication slot and capture every row anew?", abort=True)
        snapshot = take_snapshot(
            settings, connect, fence_timeout_s=fence_timeout, timeout_s=timeout, report=_report
        )
        for name, count in snapshot.captured.items():
            out.print(f"{name}: {count} rows captured")
        out.print(f"snapshot with version {snapshot.fence} done in {snapshot.seconds:.1f} s; it streams")
        if not ghosts:
            out.print("ghosts were not looked for: rows that were deleted meanwhile stay in ClickHouse")
            return
        found = remove_ghosts(settings, snapshot.fence, timeout_s=timeout, report=_report)
        for name, count in found.items():
            out.print(f"{name}: {count} ghosts removed")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show connector, task and slot; exit code 1 when changes are not being captured."""
    with _session() as settings, ConnectClient(settings) as connect:
        with connect_as_debezium(settings) as source:
            slot = slot_health(read_slot(source))
        capture = capture_status(connect.status(), slot, connect.offsets())
        if as_json:
            _print_json(_plain(capture))
        else:
            _print_table(["what", "state"], _status_rows(capture))
        if not capture.healthy:
            _complain(f"{capture.problem}\n{capture.cure}")


@contextlib.contextmanager
def _session() -> Iterator[Settings]:
    """The settings; turns expected faults into a message and exit code 1."""
    try:
        yield load_settings()
    except (Fault, SettingsError) as fault:
        _complain(str(fault))
    except psycopg.Error as error:
        # Never the details: PostgreSQL quotes values of rows there.
        reason = error.diag.message_primary or type(error).__name__
        _complain(f"PostgreSQL says: {reason}")


def _complain(message: str) -> None:
    err.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _findings(settings: Settings) -> list[rules.Finding]:
    with connect_as_debezium(settings) as connection:
        return rules.judge(read_facts(connection), settings)


def _refuse_faults(findings: list[rules.Finding]) -> None:
    if rules.faults(findings):
        _print_findings(findings)
        raise typer.Exit(1)


def _status_rows(capture: CaptureStatus) -> list[list[str]]:
    return [
        ["connector", capture.connector.connector],
        ["task", capture.connector.task],
        ["slot", capture.slot.state.value],
        ["WAL held by the slot", f"{capture.slot.retained_bytes} bytes"],
        ["WAL not yet confirmed", f"{capture.slot.lag_bytes} bytes"],
    ]


def _plain(capture: CaptureStatus) -> dict[str, object]:
    slot = dataclasses.asdict(capture.slot) | {"state": capture.slot.state.value}
    return dataclasses.asdict(capture) | {"slot": slot, "healthy": capture.healthy}


def _report(line: str) -> None:
    err.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def _print_findings(findings: list[rules.Finding]) -> None:
    _print_table(
        ["", "what", "problem", "cure"],
        [[finding.level.value, finding.subject, finding.problem, finding.cure] for finding in findings],
    )


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    table = RichTable(*headings, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table, markup=False)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
