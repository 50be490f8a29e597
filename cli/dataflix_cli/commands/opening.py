"""``dataflix open``: the stack's pages."""

from __future__ import annotations

import os
import sys
import webbrowser
from enum import StrEnum
from typing import Annotated

import typer

from dataflix_cli import output
from dataflix_cli.faults import UsageFault
from dataflix_cli.options import AsJson, group
from dataflix_cli.runtime import Runtime, runtime
from dataflix_contract import SettingsError, load_settings

app = group("The stack's pages.")


class Page(StrEnum):
    """A page of the stack."""

    PAGE = "page"
    DOCS = "docs"
    AIRFLOW = "airflow"
    MLFLOW = "mlflow"
    KAFKA_UI = "kafka-ui"
    DBT = "dbt"
    CLICKHOUSE = "clickhouse"


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
    """Whether somebody sits at a terminal on a desktop with a browser.

    Not where the only browser would be one inside this terminal.
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
        raise UsageFault(str(fault), "repair the stack's .env") from fault
    return {
        Page.AIRFLOW: settings.airflow_url,
        Page.MLFLOW: settings.mlflow_url,
        Page.KAFKA_UI: settings.kafka_ui_url,
        Page.DBT: f"{settings.dbt_url}/docs/",
        Page.CLICKHOUSE: f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}/play",
    }[page]
