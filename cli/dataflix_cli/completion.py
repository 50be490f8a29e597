"""What a shell offers for a film or a user: asked of the API, and nothing when that takes too long."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from typing import Any

from dataflix_cli.faults import Fault
from dataflix_cli.runtime import Runtime
from dataflix_contract.terminal import visible

_OFFERED = 10
_SECONDS = 1.0


def complete_movie(incomplete: str) -> list[str]:
    """Titles that begin as was typed, with their years."""
    movies = _ask("/movies", q=incomplete) if incomplete else []
    names = [
        f"{one['title']} ({one['release_year']})" if one["release_year"] else one["title"] for one in movies
    ]
    return _offered(names, incomplete)


def complete_user(incomplete: str) -> list[str]:
    """Names that begin as was typed, and ``me``."""
    users = _ask("/users", name=incomplete) if incomplete else []
    names = ["me", *(user["name"] or "" for user in users)]
    return _offered(names, incomplete)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin as was typed; no name with what a terminal obeys."""
    fitting = (name for name in names if name.casefold().startswith(incomplete.casefold()))
    return [_quoted(name) for name in fitting if visible(name) == name]


def _ask(path: str, **parameters: str) -> list[dict[str, Any]]:
    """The API's items; none when it is away: a shell that completes has no place for faults."""
    import httpx  # noqa: PLC0415 - for a completion only

    from dataflix_cli.client import Api  # noqa: PLC0415

    try:
        api = Api(Runtime({}).config, timeout=httpx.Timeout(_SECONDS))
        items: list[dict[str, Any]] = api.get(path, **parameters, limit=_OFFERED)["items"]
    except Fault:
        return []
    return items


def _quoted(name: str) -> str:
    """The name as the shell wants it: bash takes it as it is, blanks and all, the others quote it."""
    words = os.environ.get("COMP_WORDS", "").splitlines()
    at = int(os.environ.get("COMP_CWORD", "0"))
    in_bash = os.environ.get("_DATAFLIX_COMPLETE") == "complete_bash"
    quoted = at < len(words) and words[at].startswith(("'", '"'))
    return _escaped(name) if in_bash and not quoted else name


def _escaped(name: str) -> str:
    """The name with a backslash before everything that is not plain to a shell."""
    return "".join(sign if shlex.quote(sign) == sign else f"\\{sign}" for sign in name)
