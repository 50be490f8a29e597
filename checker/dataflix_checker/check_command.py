"""The program ``dataflix-check``: checks that every server runs, and that rows arrive masked."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from dataflix_checker.api_check import check_api
from dataflix_checker.checks import CheckResult, check_services, check_stream
from dataflix_clients.server_errors import describe
from dataflix_contract import Settings
from dataflix_contract.console import Console
from dataflix_contract.faults import program_settings
from dataflix_contract.programs import exit_on_sigterm
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False)


@app.command()
def check(
    batch: Annotated[
        bool, typer.Option(help="Run the daily batch too, a minute or so, and check what it makes.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document for programs.")] = False,
) -> None:
    """Check every server, and follow a canary user and rating through the whole pipeline.

    The canary is inserted, changed and deleted, and each change is followed from its commit
    to the warehouse. Then a second canary is created through the API, finds a film, rates it and gets
    recommendations; the daily batch is run, and its marts and its new model are checked; the canary is
    erased everywhere. Nothing of it remains. Exit code 0: all checks passed; 1: a check failed.
    """
    exit_on_sigterm()
    with program_settings(describe) as settings:
        findings = _check_everything(settings, batch=batch)
        if as_json or not sys.stdout.isatty():
            findings = _in_lines(findings)
        seen = list(findings) if as_json else _show(findings)
    ok = all(finding.ok for finding in seen)
    if as_json:
        document = {"ok": ok, "checks": [dataclasses.asdict(finding) for finding in seen]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    raise typer.Exit(0 if ok else 1)


def _check_everything(settings: Settings, *, batch: bool) -> Iterator[CheckResult]:
    """Run every check in order, and yield each result at once.

    If a server is down, the checks after those of the servers are left out, and a result says so: they need
    every server. The profile ``core`` has neither API nor batch.
    """
    down = False
    for finding in check_services(settings):
        down = down or not finding.ok
        yield finding
    if down:
        yield CheckResult(
            "rows travel", ok=False, detail="not tried: bring the servers above up first (./run.sh)"
        )
        return
    yield from check_stream(settings)
    if settings.profile == "full":
        yield from check_api(settings, batch=batch)


def _in_lines(findings: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Pass the results on, and print a line for each to standard error, as progress."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(f"{finding.check}: {'ok' if finding.ok else 'FAIL'}", markup=False)
        yield finding


def _show(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Print the results in a table that grows (without a terminal, it is printed once at the end)."""
    console = Console()
    table = Table("", "check", "captured", "masked", "queryable", "what was seen", box=None, pad_edge=False)
    for column in table.columns[2:5]:
        column.justify = "right"
    seen: list[CheckResult] = []
    with Live(table, console=console, auto_refresh=False) as live:
        for finding in findings:
            seen.append(finding)
            table.add_row(*_row(finding))
            live.refresh()
    faults = sum(not finding.ok for finding in seen)
    console.print()
    console.print(
        f"[red]{faults} of {len(seen)} checks failed[/]"
        if faults
        else f"[green]all {len(seen)} checks passed[/]"
    )
    return seen


def _row(finding: CheckResult) -> tuple[str, ...]:
    mark = "[green]ok[/]" if finding.ok else "[red]FAIL[/]"
    times = [
        f"{finding.milliseconds[stage]:.0f} ms" if stage in finding.milliseconds else ""
        for stage in ("captured", "masked", "queryable")
    ]
    return mark, escape(finding.check), *times, escape(finding.detail)
