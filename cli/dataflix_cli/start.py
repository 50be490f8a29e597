"""Where the program begins: what needs nothing is answered before anything is imported."""

from __future__ import annotations

import sys

from dataflix_cli import __version__


def main() -> None:
    """Run the program, and end the process with the exit code that fits."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"]):
        # Typer reads even a version's options with pydantic, which takes ten times as long
        sys.stdout.write(f"dataflix {__version__}\n")
        return
    if not arguments and sys.stdin.isatty() and sys.stdout.isatty():
        sys.stdout.write("Dataflix\n")  # a session's libraries take half a second
        sys.stdout.flush()
    from dataflix_cli.app import run  # noqa: PLC0415 - see above

    sys.exit(run(arguments))
