"""The exit codes, and a class of exception for each kind of fault, with the message that people see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The program's exit codes; ``dataflix --help`` explains them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AWAY = 4
    REFUSED = 5
    INTERRUPTED = 130


class Fault(Exception):  # noqa: N818 - not every one is an error of the program
    """A fault that is explained to the user and ends the command.

    Attributes:
        message: what happened.
        hint: what to do next; may be empty.
        code: the exit code.
        details: further fields of the JSON document, such as the candidates of an ambiguous title.
    """

    code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: Mapping[str, Any] = details

    def plain(self) -> dict[str, Any]:
        """The fault as a JSON document."""
        return {
            "error": {
                "code": self.code.name.lower(),
                "exit_code": int(self.code),
                "message": self.message,
                "hint": self.hint,
                **self.details,
            }
        }


class UsageFault(Fault):
    """The arguments cannot be used."""

    code = ExitCode.USAGE


class AmbiguousFault(UsageFault):
    """A title or name fits several films or users.

    Attributes:
        candidates: the films or users that it fits, as the API gave them.
    """

    def __init__(self, message: str, hint: str, candidates: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message, hint, candidates=list(candidates))
        self.candidates = candidates


class NotFoundFault(Fault):
    """There is no such user, film, rating or topic."""

    code = ExitCode.NOT_FOUND


class DeclinedFault(Fault):
    """The user was asked whether to go on, and said no."""

    code = ExitCode.INTERRUPTED


class AwayFault(Fault):
    """The API, or another server that the command needs, does not answer."""

    code = ExitCode.AWAY


class RefusedFault(Fault):
    """The API requires a token, or another one."""

    code = ExitCode.REFUSED
