"""Faults that a person must repair: their exception, and how it ends a program with a message only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from dataflix_contract.settings import Settings


class Fault(Exception):  # noqa: N818 - a fault of the surroundings, and no error in the program
    """Something outside the program is wrong; the message says what it is, and what to do."""


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
