"""The entry point of ``dataflix``, which starts fast: it prints the version without slow imports."""

from __future__ import annotations

import codecs
import os
import sys

from dataflix_cli import __version__

_USAGE = 2


def _is_utf8(*encodings: str) -> bool:
    return all(codecs.lookup(encoding).name == "utf-8" for encoding in encodings)


def _as_utf8(argument: str) -> str:
    """The argument; if the locale could not decode it, decoded as UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return os.fsencode(argument).decode()
    return argument


def main() -> None:
    """Run the program, and end the process with its exit code."""
    if not _is_utf8(sys.stdout.encoding, sys.stderr.encoding):
        from dataflix_contract.terminal import make_output_safe  # noqa: PLC0415 - slow, and seldom needed

        make_output_safe()
    try:
        arguments = [_as_utf8(argument) for argument in sys.argv[1:]]
    except UnicodeDecodeError as fault:
        sys.stderr.write(f"dataflix: {fault.object!r} is not UTF-8\n  write it in UTF-8, or give an id\n")
        sys.exit(_USAGE)
    if arguments in (["version"], ["--version"]):
        # through Typer, the version would take ten times as long
        sys.stdout.write(f"dataflix {__version__}\n")
        return
    if not arguments and sys.stdin.isatty() and sys.stdout.isatty():
        sys.stdout.write("Dataflix\n")  # at once: the session's libraries take half a second
        sys.stdout.flush()
    # if click is installed, httpx also imports its own command line, which takes as long as the rest of it
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    from dataflix_cli.app import run  # noqa: PLC0415 - see above

    sys.exit(run(arguments))
