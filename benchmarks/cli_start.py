"""How long ``dataflix`` takes to its first output: the wrapper, the interpreter, the imports, the answer."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer

from figures import percentiles, report

_PROGRAM = Path(__file__).resolve().parent.parent / "bin" / "dataflix"
_COMMANDS = (["version"], ["--help"])


def first_output(arguments: list[str]) -> tuple[float, float]:
    """Start the program; milliseconds until its first byte, and processor milliseconds until its end."""
    before = os.times()
    began = time.perf_counter()
    with subprocess.Popen([_PROGRAM, *arguments], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.read(1)
        shown = time.perf_counter() - began
        program.stdout.read()
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert program.returncode == 0
    return shown * 1000, used * 1000


def main(
    starts: Annotated[int, typer.Option(help="Starts of each command, after one that is not counted.")] = 30,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure and print. On a busy machine the processor time is the figure to look at."""
    for arguments in _COMMANDS:
        first_output(arguments)
        shown, used = zip(*(first_output(arguments) for _ in range(starts)), strict=True)
        figures = {"starts": starts, **percentiles(shown), "cpu p50 ms": percentiles(used)["p50 ms"]}
        report(f"dataflix {' '.join(arguments)}: first output", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
