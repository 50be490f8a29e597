"""A group of commands whose modules are imported when one of them is called, not before.

A person who asks for help or the version waits for neither HTTP nor tables.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer.main
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what the list of commands says of it.

    Attributes:
        module: the module in ``dataflix_cli.commands`` whose ``app`` has it.
        summary: one line.
        group: whether the whole ``app`` is the command, with commands of its own.
    """

    module: str
    summary: str
    group: bool = False


#: Every command, in the order of the help.
COMMANDS = {
    "users": Entry("users", "List, create, show and delete users.", group=True),
    "movies": Entry("movies", "Search films, look at one, and at those like it.", group=True),
    "watch": Entry("watching", "Mark a film as watched."),
    "unwatch": Entry("watching", "Take a film off the watched ones; its rating goes too."),
    "watched": Entry("watching", "List what a user has watched."),
    "rate": Entry("rating", "Rate a film; --trace follows the rating into the warehouse."),
    "unrate": Entry("rating", "Delete a rating."),
    "ratings": Entry("rating", "List a user's ratings."),
    "recommend": Entry("recommending", "Recommend films, with predicted stars and reasons."),
    "open": Entry("opening", "Open a page of the stack, or print its address."),
    "topics": Entry("topics", "Look into Kafka's topics.", group=True),
    "trace": Entry("programs", "Follow a row's next change through the pipeline."),
    "status": Entry("programs", "Show every service and the pipeline's health."),
    "check": Entry("programs", "Check everything end to end."),
    "config": Entry("settings", "Show and change this program's settings.", group=True),
    "version": Entry("version", "Print the version."),
}


class _Commands(dict[str, Any]):
    """The commands by name; each is imported when it is looked up."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        entry = COMMANDS[name]
        module = importlib.import_module(f"dataflix_cli.commands.{entry.module}")
        group = typer.main.get_group(module.app)
        if not entry.group:
            return group.commands[name]
        group.name = name
        return group

    def get(self, name: str, default: Any = None) -> Any:
        """The command; the default where there is none (``dict.get`` would not import it)."""
        try:
            return self[name]
        except KeyError:
            return default


class LazyGroup(TyperGroup):
    """The program: it knows its commands by :data:`COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's signature
        """The list of commands, from what :data:`COMMANDS` says of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])
