"""The commands for operating the stack: ``dataflix open``, ``trace``, ``status`` and ``check``.

The last three replace this process by the program of that name in ``bin/``, which knows whether the stack
runs in containers. The container of ``dataflix`` itself has no ``bin/``, and does not reach the servers that
these programs ask.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dataflix_cli import output
from dataflix_cli.command_faults import Fault, UsageFault
from dataflix_cli.command_line import AsJson, Runtime, group, runtime
from dataflix_contract import SettingsError, load_settings

app = group("Look at the pipeline.")
#: The checkout's programs, found from this file: the packages are installed in editable mode.
_PROGRAMS = Path(__file__).resolve().parents[3] / "bin"
#: Everything after the command's name is passed on to the program, also --help and --json.
_AS_IS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


class Page(StrEnum):
    """A page of the stack."""

    PAGE = "page"
    DOCS = "docs"
    AIRFLOW = "airflow"
    MLFLOW = "mlflow"
    KAFKA_UI = "kafka-ui"
    DBT = "dbt"
    CLICKHOUSE = "clickhouse"


@app.command(context_settings=_AS_IS)
def trace(ctx: typer.Context) -> None:
    """Follow a row's next change through the pipeline: ratings user_id=1 movie_id=318."""
    _become("dataflix-trace", ctx.args)


@app.command(context_settings=_AS_IS)
def status(ctx: typer.Context) -> None:
    """Show every service and the pipeline's health."""
    _become("dataflix-status", ctx.args)


@app.command(context_settings=_AS_IS)
def check(ctx: typer.Context) -> None:
    """Check everything end to end."""
    _become("dataflix-check", ctx.args)


def _become(name: str, arguments: list[str]) -> NoReturn:
    program = _PROGRAMS / name
    if not program.exists():
        raise Fault(
            f"{name} asks every server, and this container reaches the API and Kafka only",
            f"run bin/{name} outside, in the folder that the stack was started from",
        )
    sys.stdout.flush()
    os.execv(program, [str(program), *arguments])  # noqa: S606 - no shell is wanted


@app.command("open")
def open_(
    ctx: typer.Context,
    page: Annotated[Page, typer.Argument(help="Which one.")] = Page.PAGE,
    as_json: AsJson = False,
) -> None:
    """Open a page of the stack, or print its address where there is no browser."""
    address = _address(runtime(ctx), page)
    opened = not as_json and has_browser() and webbrowser.open(address)
    document = {"page": page.value, "url": address, "opened": opened}
    output.emit(document, as_json=as_json, show=output.say(address))


def has_browser() -> bool:
    """Whether there is a terminal on a desktop with a browser.

    Without a desktop, the only browser would be one that runs inside this terminal, which is not wanted.
    """
    desktop = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not (desktop and sys.stdout.isatty()):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _address(run: Runtime, page: Page) -> str:
    if page is Page.PAGE:
        return f"{run.config.api_url.text}/"
    if page is Page.DOCS:
        return f"{run.config.api_url.text}/docs"
    try:
        settings = load_settings()
    except SettingsError as fault:
        raise UsageFault(str(fault), "correct the stack's .env") from fault
    return {
        Page.AIRFLOW: settings.airflow_url,
        Page.MLFLOW: settings.mlflow_url,
        Page.KAFKA_UI: settings.kafka_ui_url,
        Page.DBT: f"{settings.dbt_url}/docs/",
        Page.CLICKHOUSE: f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}/play",
    }[page]
