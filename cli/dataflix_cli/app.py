"""The program ``dataflix``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from dataflix_cli import __version__
from dataflix_cli.config import is_id
from dataflix_cli.faults import ExitCode, Fault, UsageFault
from dataflix_cli.lazy_commands import LazyGroup
from dataflix_cli.runtime import Runtime
from dataflix_contract.terminal import visible

_HELP = """Find films, watch and rate them, and see what to watch next.

Without a command, on a terminal: an interactive session.

USER is an id, a name that fits one user, or `me`, the user of `dataflix config set user ID`.
MOVIE is an id or a title that fits one film, with or without its year; typos are forgiven.
Commands that print take --json: one document on stdout, and faults as JSON on stderr.

\b
Exit codes
  0  done
  1  failed, or the API refused what was asked
  2  wrong usage, a wrong value, or a title or name that fits several
  3  no such user, film, rating or topic
  4  the API, or another server that was needed, is away
  5  the API wants a token
  130  interrupted, or answered with no

\b
Settings, the first one wins
  --api-url, --token
  DATAFLIX_API_URL, DATAFLIX_BACKEND_TOKEN, DATAFLIX_USER
  DATAFLIX_BACKEND_HOST and _PORT, also from the stack's .env
  config.toml: see dataflix config
"""

app = typer.Typer(
    cls=LazyGroup,
    name="dataflix",
    help=_HELP,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dataflix {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    api_url: Annotated[str | None, typer.Option(help="The API's address.", metavar="URL")] = None,
    token: Annotated[str | None, typer.Option(help="The API's bearer token.")] = None,
    version: Annotated[  # noqa: ARG001 - its callback ends the program
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep what the command line says for the command; without one, start the session."""
    ctx.obj = Runtime({"api_url": api_url, "token": token})
    ctx.call_on_close(ctx.obj.close)
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)
    from dataflix_cli.session import start  # noqa: PLC0415 - a terminal's libraries, for a session only

    start(ctx.obj)


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code; faults are told on stderr."""
    try:
        return int(app(arguments, prog_name="dataflix", standalone_mode=False) or 0)
    except Fault as fault:
        _tell(fault, as_json="--json" in arguments)
        return fault.code
    except TyperException as fault:
        _tell(_usage(fault), as_json="--json" in arguments)
        return ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        # a prompt, and the ^C that the terminal shows, leave the cursor within a line
        typer.echo("\ninterrupted" if sys.stderr.isatty() else "interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return ExitCode.OK


def _usage(fault: TyperException) -> Fault:
    """What Typer says of a command line, as one of our faults."""
    context = getattr(fault, "ctx", None)
    command = context.command_path if context else "dataflix"
    message = fault.format_message()
    told = UsageFault(message.replace(": Value error, ", ": "), f"{command} --help explains it")
    if message.startswith("Got unexpected extra argument"):
        told = UsageFault(told.message, f"a title or name of several words stands in quotes; {told.hint}")
    if is_id(getattr(fault, "option_name", None) or ""):
        told = UsageFault(told.message, f"an id below 0 stands behind two dashes: {command} -- -5")
    if context and message == context.get_help():  # a group without a command
        told = UsageFault(f"{command} needs a command", message)
    return told


def _tell(fault: Fault, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(fault.plain()), err=True)
        return
    typer.echo(visible(f"dataflix: {fault.message}"), err=True)
    for one in fault.details.get("candidates", ()):
        identity = one.get("movie_id", one.get("user_id"))
        year = f" ({one['release_year']})" if one.get("release_year") else ""
        typer.echo(visible(f"  {identity:>8}  {one.get('title') or one.get('name')}{year}"), err=True)
    if fault.hint:
        typer.echo(visible(f"  {fault.hint}"), err=True)
