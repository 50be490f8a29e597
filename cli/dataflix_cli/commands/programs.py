"""``dataflix trace``, ``status``, ``check``: programs of their own, run in this one's place.

They are those of ``bin/``, which know whether the stack runs in containers. The terminal's own container
has no ``bin/``, and does not reach the servers that these programs ask.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from dataflix_cli.faults import Fault
from dataflix_cli.options import group

app = group("Look at the pipeline.")
#: The checkout's programs; packages are installed editable.
_PROGRAMS = Path(__file__).resolve().parents[3] / "bin"
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
    program = _PROGRAMS / name
    if not program.exists():
        raise Fault(
            f"{name} asks every server, and this container reaches the API and Kafka only",
            f"run bin/{name} outside, in the folder that the stack was started from",
        )
    sys.stdout.flush()
    os.execv(program, [str(program), *arguments])  # noqa: S606 - no shell is wanted
