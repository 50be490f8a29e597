"""Arguments and options that several commands take, and how their groups are made."""

from __future__ import annotations

from typing import Annotated

import typer

from dataflix_cli.completion import complete_movie, complete_user

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting.")]
User = Annotated[str, typer.Argument(help="Id, name, or me.", autocompletion=complete_user)]
OwnUser = Annotated[
    str | None, typer.Argument(help="Id, name, or me (the default).", autocompletion=complete_user)
]
Movie = Annotated[str, typer.Argument(help="Id or title.", autocompletion=complete_movie)]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="The most to list.")]
Genre = Annotated[str | None, typer.Option(help="Only films of this genre.")]


def group(text: str) -> typer.Typer:
    """A group of commands with this help."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )
