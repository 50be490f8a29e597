"""The program ``dataflix-stack``: installs, starts and stops the servers of one machine."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.prompt import Confirm

from dataflix_contract import Settings, load_settings
from dataflix_contract.console import Console, progress
from dataflix_contract.faults import Fault
from dataflix_contract.terminal import make_output_safe
from dataflix_stack import data_folder, paths
from dataflix_stack import stack as stacks
from dataflix_stack.servers import wanted_servers
from dataflix_stack.stack import Stack, exit_on_fault

make_output_safe()
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Install, start and stop the servers of one machine.",
)
console = Console(stderr=True)

_PUBLIC_KEY = """
[yellow]The masking key is the public default: whoever has it can find the names behind pseudonyms by
guessing. Set DATAFLIX_MASKING_KEY before real people's data comes in.[/]"""


@app.command()
def install() -> None:
    """Download Kafka, Connect, Debezium and PostgreSQL with checksums, once for all stacks."""
    with exit_on_fault(console):
        _install()


@app.command()
def up() -> None:
    """Start every server, bring schema, topics and connector up to date, wait until all is ready."""
    with exit_on_fault(console):
        _say_where()
        _install()
        stack = stacks.load_stack(console)
        stacks.up(stack)
        console.print(_summary(stack), soft_wrap=True, highlight=False)


@app.command()
def down(
    wipe: Annotated[bool, typer.Option(help="Delete this stack's data, logs and configuration too.")] = False,
    yes: Annotated[bool, typer.Option(help="Do not ask before deleting.")] = False,
) -> None:
    """Stop every server in order; data is kept unless --wipe says otherwise."""
    with exit_on_fault(console):
        stack = stacks.load_stack(console)
        data_folder.check(stack.layout)
        if wipe:
            data_folder.refuse_others(stack.layout, stack.settings_file)
        if wipe and not yes:
            _confirm(f"Delete everything that Dataflix keeps in {stack.layout.data}?")
        if not stacks.down(stack):
            console.print("nothing was running")
        if wipe:
            data_folder.wipe(stack.layout)
            console.print(f"deleted the data in {stack.layout.data}", soft_wrap=True)


@app.command()
def start(service: str) -> None:
    """Start one SERVICE that was stopped by itself: postgres, kafka, clickhouse, connect, masker-0 ..."""
    with exit_on_fault(console):
        stacks.start_one(stacks.load_stack(console), service)


@app.command()
def stop(service: str) -> None:
    """Stop one SERVICE and leave the others running; ./stop.sh stops the stack."""
    with exit_on_fault(console):
        stacks.stop_one(stacks.load_stack(console), service)


@app.command()
def where() -> None:
    """Print the paths of programs and data as JSON."""
    with exit_on_fault(console):
        servers = wanted_servers()
        places = {
            "home": paths.home(),
            "servers": servers.root,
            "java": servers.java,
            "jars": servers.jars,
            "postgres_bin": servers.postgres_bin,
            "data": paths.layout(load_settings()).data,
        }
        json.dump({name: str(place) for name, place in places.items()}, sys.stdout, indent=2)


def _say_where() -> None:
    if paths.state() != paths.home():
        console.print(
            f"PostgreSQL may not run as root, and its account cannot enter {paths.home()}:"
            f" servers and data are in {paths.state()}",
            soft_wrap=True,
        )


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Fault("--wipe deletes data: say --yes where no terminal can be asked")
    if not Confirm.ask(question, default=False, console=console):
        raise typer.Abort


def _install() -> None:
    if wanted_servers().installed:
        return
    # imported here, since its libraries take longer to import than a whole start with installed servers
    from dataflix_stack.downloads import install as download  # noqa: PLC0415

    with progress("downloading the servers", console) as shown:
        servers = download(shown)
    console.print(f"servers are installed in {servers.root}", soft_wrap=True)


def _summary(stack: Stack) -> str:
    """A text in rich's markup with the servers' addresses and users, and what to do next."""
    settings = stack.settings
    text = f"""
[bold]Dataflix is up.[/]
  PostgreSQL     {settings.postgres_host}:{settings.postgres_port}  database {settings.postgres_db}, \
user {settings.postgres_user}
  Kafka          {settings.kafka_bootstrap}
  Kafka Connect  {settings.connect_url}
  ClickHouse     http://{settings.clickhouse_host}:{settings.clickhouse_http_port}  \
native port {settings.clickhouse_tcp_port}, user {settings.clickhouse_user}
  Masker         {settings.masker_url(0)}/metrics
{_batch(settings)}  Passwords      {stack.settings_file}
  Logs           {stack.layout.logs}
Next: bin/dataflix-status, python3 check_all_works.py, bin/dataflix-trace, ./stop.sh"""
    if settings.local_only_key:
        text += _PUBLIC_KEY
    return text


def _batch(settings: Settings) -> str:
    if settings.profile == "core":
        return ""
    return f"""\
  Backend        {settings.backend_url}  API {settings.backend_url}/docs
  Airflow        {settings.airflow_url}  user {settings.airflow_user}
  dbt webhook    {settings.dbt_url}/docs/
  MLflow         {settings.mlflow_url}
  Kafka UI       {settings.kafka_ui_url}  no login, shows personal data
  S3             {settings.s3_url}  console http://{settings.s3_host}:{settings.s3_console_port}, \
user {settings.s3_access_key}
"""


if __name__ == "__main__":
    app()
