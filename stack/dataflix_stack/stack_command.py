"""``dataflix-stack``: install, start and stop the servers of one machine."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.prompt import Confirm

from dataflix_contract import load_settings
from dataflix_contract.console import Console
from dataflix_contract.faults import Fault
from dataflix_contract.progress import progress
from dataflix_contract.terminal import make_output_safe
from dataflix_stack import data_folder, paths
from dataflix_stack import stack as stacks
from dataflix_stack.faults import exit_on_fault
from dataflix_stack.servers import wanted_servers
from dataflix_stack.summary import summary

make_output_safe()
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Install, start and stop the servers of one machine.",
)
console = Console(stderr=True)


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
        console.print(summary(stack), soft_wrap=True, highlight=False)


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
    """Print as JSON where programs and data are."""
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
    # what it is made of takes longer to import than all of a start that finds the servers
    from dataflix_stack.downloads import install as download  # noqa: PLC0415

    with progress("downloading the servers", console) as shown:
        servers = download(shown)
    console.print(f"servers are installed in {servers.root}", soft_wrap=True)


if __name__ == "__main__":
    app()
