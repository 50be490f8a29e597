"""The program ``dataflix-pipeline``: runs the daily batch now, or shows a run of it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from dataflix_checker.batch_check import read_outcome
from dataflix_clients import airflow
from dataflix_clients.airflow import AirflowError, Run, TaskState
from dataflix_clients.server_errors import describe
from dataflix_contract import Settings
from dataflix_contract.console import Console
from dataflix_contract.faults import program_settings
from dataflix_contract.terminal import make_output_safe

make_output_safe()
app = typer.Typer(add_completion=False, no_args_is_help=True)

_COLOURS = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "red",
    "up_for_retry": "yellow",
    "running": "cyan",
}

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document for programs.")]


@app.command("run")
def start(
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Have dbt rebuild its incremental models from nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the end.")] = 1800.0,
    as_json: AsJson = False,
) -> None:
    """Run the daily batch and watch its tasks. Exit code 0: the run succeeded; 1: it failed."""
    with program_settings(describe) as settings:
        run_id = airflow.trigger(settings, full_refresh=full_refresh)
        _watch(settings, run_id, timeout, Console(stderr=as_json))
        _finish(settings, airflow.run(settings, run_id), as_json=as_json)


@app.command()
def status(
    run_id: Annotated[str | None, typer.Argument(help="The run; without it, the last one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: its tasks and its outcome. Exit code 1: the run failed, or there is none."""
    with program_settings(describe) as settings:
        run = airflow.run(settings, run_id) if run_id else airflow.last_run(settings)
        if run is None:
            raise AirflowError("there was no run yet: dataflix-pipeline run")
        if not as_json:
            Console().print(_board(run.run_id, airflow.task_states(settings, run.run_id)))
        _finish(settings, run, as_json=as_json)


def _watch(settings: Settings, run_id: str, seconds: float, console: Console) -> None:
    """Show the tasks' states as they change: in a table, or without a terminal in lines of standard error."""
    stands: dict[str, TaskState] = {}
    lines = Console(stderr=True, quiet=console.is_terminal, highlight=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False) as live:
        for task in airflow.wait(settings, run_id, seconds):
            stands[task.task] = task
            if task.state in _COLOURS:
                lines.print(f"{task.task}: {task.state}", markup=False)
            live.update(_board(run_id, list(stands.values())), refresh=True)
        live.update(_board(run_id, airflow.task_states(settings, run_id)), refresh=True)


def _board(run_id: str, tasks: list[TaskState]) -> Table:
    table = Table("task", "state", "try", "seconds", title=escape(run_id), title_justify="left", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for task in tasks:
        state = task.state or "waiting"
        colour = _COLOURS.get(state, "dim")
        seconds = "" if task.seconds is None else f"{task.seconds:.1f}"
        table.add_row(escape(task.task), f"[{colour}]{state}[/]", str(task.attempt or ""), seconds)
    return table


def _finish(settings: Settings, run: Run, *, as_json: bool) -> None:
    outcome = read_outcome(settings, run.run_id)
    if as_json:
        tasks = [dataclasses.asdict(task) for task in airflow.task_states(settings, run.run_id)]
        document = dataclasses.asdict(run) | {"tasks": tasks, "outcome": outcome}
        sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
    else:
        _tell(Console(highlight=False), run, outcome)
    raise typer.Exit(1 if run.state == "failed" else 0)


def _tell(console: Console, run: Run, outcome: Mapping[str, Any] | None) -> None:
    if run.started_at and run.finished_at:
        seconds = (run.finished_at - run.started_at).total_seconds()
        console.print(f"\n[{_COLOURS[run.state]}]{run.state}[/] after {seconds:.1f} s")
    else:
        console.print(f"\n{run.state}")
    if outcome is None:
        return
    console.print(
        f"rows compared {outcome['rows']:,}, missing {outcome['missing']:,},"
        f" different {outcome['different']:,}, ghosts {outcome['ghosts']:,}"
    )
    if outcome["dbt_models"]:
        console.print(
            f"dbt models {outcome['dbt_models']}, tests passed {outcome['dbt_tests_passed']},"
            f" failed {outcome['dbt_tests_failed']}"
        )
    if outcome["model_version"]:
        console.print(
            f"model version {outcome['model_version']} is {outcome['alias']}:"
            f" RMSE {outcome['rmse']:.4f}, nDCG@10 {outcome['ndcg_at_10']:.4f}"
        )
    if reason := outcome["details"].get("reason"):
        console.print(reason, style=_COLOURS.get(run.state), markup=False, soft_wrap=True)
