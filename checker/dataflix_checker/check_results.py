"""What came of a check; that a server does not answer is a result, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dataflix_clients.server_errors import SERVER_ERRORS
from dataflix_contract.terminal import first_line


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        check: what was asked.
        ok: whether all is well.
        detail: what was seen; when not ok, what to do.
        milliseconds: for a change that was followed: from its commit to each stage.
    """

    check: str
    ok: bool
    detail: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)


def guarded(name: str, question: Callable[[], tuple[bool, str]]) -> CheckResult:
    """The answer to a question; a server that does not answer is one."""
    try:
        ok, detail = question()
    except SERVER_ERRORS as fault:
        return CheckResult(name, ok=False, detail=first_line(fault))
    return CheckResult(name, ok, detail)
