"""Shared by all commands: arguments and options, shell completion, the settings and the API's client."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataflix_cli import config
from dataflix_cli.command_faults import Fault
from dataflix_cli.config import Config
from dataflix_contract.terminal import visible

if TYPE_CHECKING:
    from dataflix_cli.client import Api

#: How many films or users shell completion offers, and how long it waits for the API.
_OFFERED, _COMPLETION_SECONDS = 10, 1.0


class Runtime:
    """The settings and the API's client of one call of the program, made when they are first used.

    Args:
        flags: the settings that were given as options, by name.
    """

    def __init__(self, flags: Mapping[str, str | None]) -> None:
        self._flags = flags

    @cached_property
    def config(self) -> Config:
        """The settings.

        Raises:
            UsageFault: a setting's value, or a settings file, cannot be used.
        """
        return config.load(self._flags)

    def close(self) -> None:
        """Close the connections to the API, if there are any."""
        if "api" in vars(self):
            self.api.close()

    @cached_property
    def api(self) -> Api:
        """The API's client."""
        from dataflix_cli.client import Api  # noqa: PLC0415 - it imports httpx, which only some commands need

        return Api(self.config)


def runtime(ctx: typer.Context) -> Runtime:
    """The runtime of the command that is called."""
    found = ctx.find_root().obj
    assert isinstance(found, Runtime)  # noqa: S101 - the root command puts it there
    return found


def complete_movie(incomplete: str) -> list[str]:
    """Complete a title: films whose titles begin with the typed text, with their years."""
    movies = _ask("/movies", q=incomplete) if incomplete else []
    names = [
        f"{one['title']} ({one['release_year']})" if one["release_year"] else one["title"] for one in movies
    ]
    return _offered(names, incomplete)


def complete_user(incomplete: str) -> list[str]:
    """Complete a user: ``me``, and users whose names begin with the typed text."""
    users = _ask("/users", name=incomplete) if incomplete else []
    names = ["me", *(user["name"] or "" for user in users)]
    return _offered(names, incomplete)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin with the typed text, without names that hold control characters."""
    fitting = (name for name in names if name.casefold().startswith(incomplete.casefold()))
    return [_quoted(name) for name in fitting if visible(name) == name]


def _ask(path: str, **parameters: str) -> list[dict[str, Any]]:
    """The API's items; none if it does not answer, since completion cannot show errors."""
    import httpx  # noqa: PLC0415 - for a completion only

    from dataflix_cli.client import Api  # noqa: PLC0415

    try:
        api = Api(Runtime({}).config, timeout=httpx.Timeout(_COMPLETION_SECONDS))
        items: list[dict[str, Any]] = api.get(path, **parameters, limit=_OFFERED)["items"]
    except Fault:
        return []
    return items


def _quoted(name: str) -> str:
    """The name, escaped for bash, which inserts it as it is; other shells quote it themselves."""
    words = os.environ.get("COMP_WORDS", "").splitlines()
    at = int(os.environ.get("COMP_CWORD", "0"))
    in_bash = os.environ.get("_DATAFLIX_COMPLETE") == "complete_bash"
    quoted = at < len(words) and words[at].startswith(("'", '"'))
    return _escaped(name) if in_bash and not quoted else name


def _escaped(name: str) -> str:
    """The name with a backslash before each character that is special to a shell."""
    return "".join(sign if shlex.quote(sign) == sign else f"\\{sign}" for sign in name)


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
    """Make a group of commands with this help."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )
