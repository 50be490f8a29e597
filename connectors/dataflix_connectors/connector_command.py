"""The program ``dataflix-connector``: sets up, checks and repairs the capture of changes by Debezium."""

import dataclasses
import json
import sys
from typing import Annotated

import psycopg
import typer
from confluent_kafka import KafkaException
from rich.markup import escape
from rich.table import Table as RichTable

from dataflix_clients import kafka, postgres
from dataflix_clients import preflight as rules
from dataflix_clients.capture import CaptureFacts, judge_capture
from dataflix_clients.connect import ConnectClient, ConnectorStatus
from dataflix_clients.fence import DEFAULT_TIMEOUT_S
from dataflix_clients.kafka import read_capture_topics
from dataflix_clients.preflight import Finding, Level, faults
from dataflix_clients.replication_slot import SlotHealth, slot_health
from dataflix_clients.source_facts import read_facts
from dataflix_connectors import registration, topics
from dataflix_connectors.resnapshot import remove_ghosts, take_snapshot
from dataflix_contract import Settings
from dataflix_contract.console import Console
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Topics, preflight, registration, status and repair of the capture.",
)
out = Console()
err = Console(stderr=True)

#: How long ``status`` waits for answers; a rebalance of Connect's workers takes less.
_STATUS_PATIENCE_S = 10.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FenceTimeout = Annotated[
    float, typer.Option(min=0, help="Seconds that open transactions get to end before a snapshot.")
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds until the connector has to stream.")]


@app.command("topics")
def topics_command() -> None:
    """Create missing topics, and give existing ones their settings."""
    with program_settings(_describe) as settings:
        wanted = topics.wanted_topics(settings)
        present = topics.present_topics(settings, [topic.name for topic in wanted])
        changes = topics.plan_changes(wanted, present)
        topics.apply_changes(kafka.admin_client(settings), changes)
        _print_table(
            ["topic", "partitions", "what was done"],
            [[change.topic.name, str(change.topic.partitions), change.description] for change in changes],
        )


@app.command()
def preflight(*, as_json: Json = False) -> None:
    """Check the source database; exit code 1: its changes cannot be captured."""
    with program_settings(_describe) as settings:
        findings = _findings(settings)
        if as_json:
            _print_json(_plain_findings(findings))
        elif not findings:
            out.print("the source is fit to be captured")
        else:
            _print_findings(findings)
        if faults(findings):
            raise typer.Exit(1)


@app.command()
def register(*, fence_timeout: FenceTimeout = DEFAULT_TIMEOUT_S, timeout: Timeout = 600.0) -> None:
    """Check the source, register the connector, and wait until it streams."""
    with program_settings(_describe) as settings, ConnectClient(settings) as connect:
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
    """Capture everything anew, with a snapshot: this repairs a lost slot.

    Drops the slot, deletes the connector's offsets, captures every row anew, and removes from
    ClickHouse the rows that were deleted at the source while changes were not captured.
    """
    with program_settings(_describe) as settings, ConnectClient(settings) as connect:
        _refuse_faults([finding for finding in _findings(settings) if not finding.is_cured_by_resnapshot])
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
    """Show connector, task and slot, and any faults; exit code 1: changes are not being captured."""
    with (
        program_settings(_describe) as settings,
        ConnectClient(settings, patience_s=_STATUS_PATIENCE_S) as connect,
    ):
        connector = connect.status()
        with postgres.connect(settings, settings.postgres_debezium) as source:
            facts = read_facts(source, settings)
        kafka = read_capture_topics(settings, _STATUS_PATIENCE_S)
        findings = judge_capture(CaptureFacts(facts, connector, connect.offsets(), kafka), settings)
        slot = slot_health(facts.slot)
        if as_json:
            _print_json(_plain(connector, slot, findings))
        else:
            _print_table(["what", "state"], _status_rows(connector, slot))
        for finding in findings:
            err.print(
                finding.text,
                style="red" if finding.level is Level.FAULT else "yellow",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if faults(findings):
            raise typer.Exit(1)


def _describe(error: Exception, settings: Settings) -> str | None:
    if isinstance(error, KafkaException):
        return str(kafka.unreachable(settings, error))
    if isinstance(error, psycopg.Error):
        return postgres.describe(error)
    return str(error) if isinstance(error, LookupError) else None


def _findings(settings: Settings) -> list[Finding]:
    with postgres.connect(settings, settings.postgres_debezium) as connection:
        return rules.judge(read_facts(connection, settings), settings)


def _refuse_faults(findings: list[Finding]) -> None:
    if faults(findings):
        _print_findings(findings)
        raise typer.Exit(1)


def _status_rows(connector: ConnectorStatus, slot: SlotHealth) -> list[list[str]]:
    return [
        ["connector", connector.connector],
        ["task", connector.task],
        ["slot", slot.state.value],
        ["WAL held by the slot", f"{slot.retained_bytes} bytes"],
        ["WAL not yet confirmed", f"{slot.lag_bytes} bytes"],
    ]


def _plain(connector: ConnectorStatus, slot: SlotHealth, findings: list[Finding]) -> dict[str, object]:
    return {
        "connector": dataclasses.asdict(connector),
        "slot": dataclasses.asdict(slot) | {"state": slot.state.value},
        "findings": _plain_findings(findings),
        "healthy": not faults(findings),
    }


def _plain_findings(findings: list[Finding]) -> list[dict[str, object]]:
    return [dataclasses.asdict(finding) | {"level": finding.level.value} for finding in findings]


def _report(line: str) -> None:
    err.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def _print_findings(findings: list[Finding]) -> None:
    _print_table(
        ["", "what", "problem", "cure"],
        [[finding.level.value, finding.subject, finding.problem, finding.cure] for finding in findings],
    )


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    table = RichTable(*headings, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
