"""Find the film or user that a command's argument means: an id, or a title or name that fits only one.

If several fit, the user is asked to choose, but only on a terminal and not with ``--json``.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import typer
from rich.prompt import IntPrompt

from dataflix_cli.client import Api, Document
from dataflix_cli.command_faults import AmbiguousFault, DeclinedFault, NotFoundFault, UsageFault
from dataflix_cli.command_line import Runtime
from dataflix_cli.config import Config, is_id
from dataflix_contract.console import Console
from dataflix_contract.terminal import visible

#: The word that stands for the default user in the settings.
ME = "me"
_CANDIDATES = 10
_YEAR = re.compile(r"(?P<title>.*\S)\s*\((?P<year>\d{4})\)")


def split_title(text: str) -> tuple[str, int | None]:
    """Split ``Heat (1995)`` into title and year; the year is None if the text has none."""
    found = _YEAR.fullmatch(text.strip())
    return (found["title"], int(found["year"])) if found else (text.strip(), None)


def titled(movie: Document) -> str:
    """A film's title, with its year if it is known."""
    year = movie.get("release_year")
    return f"{movie['title']} ({year})" if year else str(movie["title"])


def clear_match(wanted: str, names: Sequence[str]) -> int | None:
    """The index of the name that is meant; None: it is not certain which one, or there is none.

    A name that is equal, except for letter case and accents, is preferred to names that are only similar.
    """
    same = [place for place, name in enumerate(names) if plain(name) == plain(wanted)]
    found = same or list(range(len(names)))
    return found[0] if len(found) == 1 else None


def plain(name: str) -> str:
    """The name in the form for comparisons: without letter case and accents, which people may not type."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def find_movie(api: Api, text: str) -> Document:
    """Find a film by its id (``318`` or ``#318``), or by its title, with or without its year.

    A number that is no film's id is taken for a title, such as ``1917``.

    Raises:
        NotFoundFault: no film fits.
        AmbiguousFault: several films fit.
        UsageFault: the text is empty.
    """
    number = text.strip().removeprefix("#")
    if is_id(number):
        try:
            return api.get(f"/movies/{number}")
        except NotFoundFault:
            if text.strip() != number:
                raise
    title, year = split_title(text)
    if not title:
        raise UsageFault("no title was given", "dataflix movies search finds films")
    found = api.get("/movies", q=title, year_from=year, year_to=year, limit=_CANDIDATES)["items"]
    if not found:
        raise NotFoundFault(f"no film resembles {text!r}", "typos are forgiven: fewer letters find more")
    place = clear_match(title, [movie["title"] for movie in found])
    if place is None:
        candidates = [{name: one[name] for name in ("movie_id", "title", "release_year")} for one in found]
        raise AmbiguousFault(f"several films fit {text!r}", "give the id, or title (year)", candidates)
    movie: Document = found[place]
    return movie


def find_user(api: Api, config: Config, text: str | None) -> int:
    """Find a user's id by an id, by a name that fits only one user, or by ``me``, which is also the default.

    Raises:
        NotFoundFault: no user has that name.
        AmbiguousFault: several users fit.
        UsageFault: it is ``me``, and the settings have no default user.
    """
    if text is None or text.strip() == ME:
        if not config.user.text:
            raise UsageFault("no default user is set", "dataflix config set user ID, or name a user")
        return int(config.user.text)
    number = text.strip().removeprefix("#")
    if is_id(number):
        return int(number)
    found: list[Any] = api.get("/users", name=text.strip(), limit=_CANDIDATES)["items"]
    if not found:
        raise NotFoundFault(f"no user is called {text!r}", "dataflix users list shows who there is")
    place = clear_match(text.strip(), [user["name"] or "" for user in found])
    if place is None:
        raise AmbiguousFault(f"several users fit {text!r}", "give the id", found)
    return int(found[place]["user_id"])


def may_ask(*, as_json: bool) -> bool:
    """Whether the user can be asked: on a terminal, and without ``--json``."""
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is deleted; with ``--yes``, do not ask.

    Raises:
        UsageFault: without ``--yes``, where nobody can be asked.
        DeclinedFault: the answer is no.
    """
    if yes:
        return
    if not may_ask(as_json=as_json):
        raise UsageFault("this deletes data, and there is no terminal to ask for a confirmation", "say --yes")
    if not typer.confirm(visible(question), err=True):
        raise DeclinedFault("nothing is deleted")


def pick_movie(runtime: Runtime, text: str, *, as_json: bool) -> Document:
    """Find a film as :func:`find_movie` does; if several fit, ask the user which is meant.

    Raises:
        NotFoundFault: no film fits.
        AmbiguousFault: several fit, and nobody can be asked.
    """
    try:
        return find_movie(runtime.api, text)
    except AmbiguousFault as fault:
        if not may_ask(as_json=as_json):
            raise
        labels = [titled(dict(one)) for one in fault.candidates]
        chosen = fault.candidates[_which(fault.message, labels)]
    return runtime.api.get(f"/movies/{chosen['movie_id']}")


def pick_user(runtime: Runtime, text: str | None, *, as_json: bool) -> int:
    """Find a user's id as :func:`find_user` does; if several users fit, ask which is meant.

    Raises:
        NotFoundFault: no user has that name.
        AmbiguousFault: several fit, and nobody can be asked.
        UsageFault: it is ``me``, and the settings have no default user.
    """
    try:
        return find_user(runtime.api, runtime.config, text)
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
