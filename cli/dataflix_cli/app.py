"""The program ``dataflix``: its commands, its options, and how it ends after a fault.

A command's module is imported only when the command is called, so that ``--help`` is fast.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup
from typer.exceptions import TyperException

from dataflix_cli import __version__
from dataflix_cli.command_faults import ExitCode, Fault, UsageFault
from dataflix_cli.command_line import Runtime
from dataflix_cli.config import is_id
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


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is defined, and its line in the list of commands.

    Attributes:
        module: the module in ``dataflix_cli.commands`` whose ``app`` has the command.
        summary: the command's line in the help.
        group: for a command with subcommands, the name of their group in that module.
    """

    module: str
    summary: str
    group: str = ""


#: Every command, in the order of the help.
COMMANDS = {
    "users": Entry("users", "List, create, show and delete users.", group="app"),
    "movies": Entry("films", "Search films, look at one, and at those like it.", group="movies"),
    "watch": Entry("feedback", "Mark a film as watched."),
    "unwatch": Entry("feedback", "Take a film off the watched ones; its rating goes too."),
    "watched": Entry("feedback", "List what a user has watched."),
    "rate": Entry("feedback", "Rate a film; --trace follows the rating into the warehouse."),
    "unrate": Entry("feedback", "Delete a rating."),
    "ratings": Entry("feedback", "List a user's ratings."),
    "dismiss": Entry("feedback", "Say that a film is of no interest: it is not recommended again."),
    "undismiss": Entry("feedback", "Let a dismissed film be recommended again."),
    "dismissed": Entry("feedback", "List what a user is not interested in."),
    "recommend": Entry("films", "Recommend films, with predicted stars and reasons."),
    "open": Entry("operations", "Open a page of the stack, or print its address."),
    "topics": Entry("topics", "Look into Kafka's topics.", group="app"),
    "trace": Entry("operations", "Follow a row's next change through the pipeline."),
    "status": Entry("operations", "Show every service and the pipeline's health."),
    "check": Entry("operations", "Check everything end to end."),
    "config": Entry("configuration", "Show and change this program's settings.", group="config_group"),
    "version": Entry("configuration", "Print the version."),
}


class _Commands(dict[str, Any]):
    """The commands by name; a command's module is imported when the command is looked up."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        entry = COMMANDS[name]
        module = importlib.import_module(f"dataflix_cli.commands.{entry.module}")
        group = typer.main.get_group(getattr(module, entry.group or "app"))
        if not entry.group:
            return group.commands[name]
        group.name = name
        return group

    def get(self, name: str, default: Any = None) -> Any:
        """The command, or the default if there is none (``dict.get`` would not import the command)."""
        try:
            return self[name]
        except KeyError:
            return default


class LazyGroup(TyperGroup):
    """The program as a group of commands, which are listed in :data:`COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Write the list of commands from :data:`COMMANDS`, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


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
    """Keep the options for the command that follows; without a command, start the interactive session."""
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
    """Run a command line and return its exit code; faults are printed on stderr."""
    try:
        return int(app(arguments, prog_name="dataflix", standalone_mode=False) or 0)
    except Fault as fault:
        _tell(fault, as_json="--json" in arguments)
        return fault.code
    except TyperException as fault:
        _tell(_usage(fault), as_json="--json" in arguments)
        return ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        # a prompt and the terminal's ^C leave the cursor within a line, so begin a new one
        typer.echo("\ninterrupted" if sys.stderr.isatty() else "interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, has closed the pipe
        sys.stderr.close()
        return ExitCode.OK


def _usage(fault: TyperException) -> Fault:
    """Turn Typer's complaint about a command line into one of our faults, with advice."""
    context = getattr(fault, "ctx", None)
    command = context.command_path if context else "dataflix"
    message = fault.format_message()
    told = UsageFault(message.replace(": Value error, ", ": "), f"{command} --help explains it")
    if message.startswith("Got unexpected extra argument"):
        told = UsageFault(told.message, f"put a title or name of several words in quotes; {told.hint}")
    if is_id(getattr(fault, "option_name", None) or ""):
        told = UsageFault(told.message, f"put two dashes before an id below 0: {command} -- -5")
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
