"""``dataflix-reconcile``: compare the warehouse with the source, and repair what differs."""

import json
import secrets
import sys
from typing import Annotated

import adbc_driver_manager
import psycopg
import typer
from clickhouse_connect.driver.exceptions import ClickHouseError

from dataflix_clients import postgres
from dataflix_clients.fence import DEFAULT_TIMEOUT_S
from dataflix_clients.orphans import orphan_finding
from dataflix_contract import Settings, Table, tables
from dataflix_contract.console import Console, progress
from dataflix_contract.faults import Fault, cannot_use, first_line, program_settings
from dataflix_contract.programs import exit_on_sigterm
from dataflix_contract.terminal import make_output_safe
from dataflix_reconciliation.reconcile import Timeouts, reconcile
from dataflix_reconciliation.report import Report, tabulate

make_output_safe()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()
err = Console(stderr=True)

_STREAM_TIMEOUT_S = 60.0
_RUN_ID_BYTES = 4


@app.command()
def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Which tables; all of them by default.")
    ] = None,
    *,
    run_id: Annotated[
        str, typer.Option(help="Name of the run that the reports are kept under; made up by default.")
    ] = "",
    fence_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that open transactions get to end.")
    ] = DEFAULT_TIMEOUT_S,
    stream_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that the stream gets to deliver, if anything differs.")
    ] = _STREAM_TIMEOUT_S,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each table, one a line.")
    ] = False,
) -> None:
    """Compare the warehouse with the source, table by table, and repair what differs.

    It works while the stream runs and while it does not. Exit code 0: the warehouse equals the source as
    of the fence. 1: it could not be done; no table is half repaired.
    """
    exit_on_sigterm()  # the tables in staging are dropped
    with program_settings(_describe) as settings:
        chosen = _chosen(names or [])
        run = run_id or f"manual-{secrets.token_hex(_RUN_ID_BYTES)}"
        timeouts, reports = Timeouts(fence_timeout, stream_timeout), []
        for table in chosen:
            with progress(table.name, err) as shown:
                reports.append(reconcile(settings, table, run, timeouts, shown))
            if as_json:
                sys.stdout.write(json.dumps(reports[-1].plain()) + "\n")
                sys.stdout.flush()
        if not as_json:
            _print(reports)
        for report in reports:
            _warn(report)


def _chosen(names: list[str]) -> list[Table]:
    contract = tables()
    for name in names:
        if name not in contract:
            raise Fault(f"there is no table {name}: the contract has {', '.join(contract)}")
    return [contract[name] for name in names] or list(contract.values())


def _print(reports: list[Report]) -> None:
    out.print(tabulate(reports))
    for report in reports:
        if report.counts.total:
            out.print(
                f"{report.table}: {report.counts.total:,} rows differed and are repaired;"
                f" the stream: {report.stream.meaning}",
                highlight=False,
                soft_wrap=True,
            )
        if report.truncated:
            out.print(
                f"{report.table}: {report.truncated:,} rows had been removed by a TRUNCATE of the source,"
                " and are removed here too",
                highlight=False,
                soft_wrap=True,
            )


def _warn(report: Report) -> None:
    if report.orphans:
        _say(orphan_finding(tables()[report.table], report.orphans).text, style="yellow")
    if report.ahead:
        _say(
            f"{report.table}: {report.ahead:,} rows have versions that the source's WAL has not reached;"
            " their keys do not follow the stream until it has. Was PostgreSQL replaced, or did somebody"
            f" write to raw.{report.table}? As ClickHouse's owner, delete them, then run this again."
        )


def _describe(error: Exception, settings: Settings) -> str | None:
    if isinstance(error, psycopg.Error):
        return postgres.describe(error)
    if isinstance(error, adbc_driver_manager.Error):
        return f"PostgreSQL did not give the rows: {first_line(error)}"
    if isinstance(error, ClickHouseError):
        address = f"{settings.clickhouse_address} as {settings.clickhouse_batch.user}"
        return cannot_use("ClickHouse", address, error)
    return None


def _say(message: str, style: str = "red") -> None:
    err.print(message, style=style, markup=False, highlight=False, soft_wrap=True)
