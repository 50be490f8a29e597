"""``dataflix trace``, ``status``, ``check``: programs of their own, run in this one's place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from dataflix_cli.faults import Fault
from dataflix_cli.options import group
from dataflix_contract.programs import find_program

app = group("Look at the pipeline.")
#: Everything after the name is the program's business, --help and --json too.
_AS_IS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


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
    # this program's own environment is one of those that run.sh makes
    home = Path(os.environ.get("DATAFLIX_HOME") or Path(sys.prefix).parent.parent)
    program = find_program(name, home, os.environ.get("PATH", ""))
    if program is None:
        raise Fault(f"{name} is not installed", "./run.sh installs it; DATAFLIX_HOME says where it did")
    sys.stdout.flush()
    os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted
