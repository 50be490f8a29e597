"""What a command asks a person: only on a terminal, and never one that wants JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.prompt import IntPrompt

from dataflix_cli import name_lookup
from dataflix_cli.client import Document
from dataflix_cli.faults import AmbiguousFault, DeclinedFault, UsageFault
from dataflix_cli.runtime import Runtime
from dataflix_contract.console import Console
from dataflix_contract.terminal import visible


def may_ask(*, as_json: bool) -> bool:
    """Whether somebody sits there who can answer."""
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Go on if the person, or ``--yes``, says so.

    Raises:
        UsageFault: there is nobody to ask.
        DeclinedFault: the answer is no.
    """
    if yes:
        return
    if not may_ask(as_json=as_json):
        raise UsageFault("this deletes: nobody can be asked here", "say --yes")
    if not typer.confirm(visible(question), err=True):
        raise DeclinedFault("nothing is deleted")


def pick_movie(runtime: Runtime, text: str, *, as_json: bool) -> Document:
    """The film meant; where several fit, a person is asked which.

    Raises:
        NotFoundFault: none fits.
        AmbiguousFault: several fit, and nobody can be asked.
    """
    try:
        return name_lookup.find_movie(runtime.api, text)
    except AmbiguousFault as fault:
        if not may_ask(as_json=as_json):
            raise
        labels = [name_lookup.titled(dict(one)) for one in fault.candidates]
        chosen = fault.candidates[_which(fault.message, labels)]
    return runtime.api.get(f"/movies/{chosen['movie_id']}")


def pick_user(runtime: Runtime, text: str | None, *, as_json: bool) -> int:
    """The id of the user meant; where several fit, a person is asked which.

    Raises:
        NotFoundFault: nobody has that name.
        AmbiguousFault: several fit, and nobody can be asked.
        UsageFault: ``me`` is nobody yet.
    """
    try:
        return name_lookup.find_user(runtime.api, runtime.config, text)
    except AmbiguousFault as fault:
        if not may_ask(as_json=as_json):
            raise
        labels = [f"{one['name']}  user {one['user_id']}" for one in fault.candidates]
        return int(fault.candidates[_which(fault.message, labels)]["user_id"])


def _which(message: str, labels: Sequence[str]) -> int:
    screen = Console(stderr=True, highlight=False)
    screen.print(message, markup=False)
    for place, label in enumerate(labels, start=1):
        screen.print(f"{place:>4}  {label}", markup=False)
    numbers = [str(place) for place in range(1, len(labels) + 1)]
    return IntPrompt.ask("which one", choices=numbers, show_choices=False, console=screen) - 1
