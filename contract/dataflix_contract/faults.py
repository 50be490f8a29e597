"""Faults that a person must repair: their exception, their wording, and how one ends a program.

All programs use the same sentence for a server that does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from dataflix_contract.settings import Settings


class Fault(Exception):  # noqa: N818 - a fault of the surroundings, and no error in the program
    """Something outside the program is wrong; the message says what it is, and what to do."""


def cannot_use(server: str, address: str, fault: BaseException | str) -> str:
    """The message with which a program ends if a server does not answer or refuses.

    Args:
        server: its name, such as ``Kafka``.
        address: its address.
        fault: the library's exception or message, of which one line is taken.
    """
    reason, *_ = (fault if isinstance(fault, str) else _reason(fault)).strip().splitlines() or ["no answer"]
    return (
        f"cannot use {server} at {address}: {reason.rstrip('.:')}. ./run.sh starts it, bin/dataflix-status"
        " shows what runs; addresses and logins are in .env"
    )


def first_line(fault: BaseException) -> str:
    """The first line of an error's message, or the name of its class if it has no message."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def _reason(fault: BaseException) -> str:
    """The operating system's message, such as "Connection refused", if it caused the error."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(fault) or type(fault).__name__


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a message to standard error, red on a terminal, and end the program."""
    from dataflix_contract.console import Console  # noqa: PLC0415 - rich takes time, and is needed seldom

    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)


@contextmanager
def program_settings(
    describe: Callable[[Exception, Settings], str | None] = lambda _error, _settings: None,
) -> Iterator[Settings]:
    """Load the settings for a command-line program, and end it with a message and exit code 1 after a fault.

    Args:
        describe: gives the message for an exception of a library; None: it is an error in the program, which
            is raised.
    """
    from dataflix_contract.settings import SettingsError, load_settings  # noqa: PLC0415 - as above

    try:
        settings = load_settings()
    except SettingsError as fault:
        fail(str(fault))
    try:
        yield settings
    except Exception as error:
        message = str(error) if isinstance(error, Fault) else describe(error, settings)
        if message is None:
            raise
        fail(message)
