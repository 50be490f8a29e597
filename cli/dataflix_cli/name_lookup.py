"""Which film, which user: by id, or by a title or name that fits one; where several fit, a person is asked.

A person is asked only on a terminal, and never one that wants JSON.
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

#: The word for the user that the settings name.
ME = "me"
_CANDIDATES = 10
_YEAR = re.compile(r"(?P<title>.*\S)\s*\((?P<year>\d{4})\)")


def split_title(text: str) -> tuple[str, int | None]:
    """Split ``Heat (1995)`` into title and year; a text without a year has none."""
    found = _YEAR.fullmatch(text.strip())
    return (found["title"], int(found["year"])) if found else (text.strip(), None)


def titled(movie: Document) -> str:
    """A film's title with its year, where one is known."""
    year = movie.get("release_year")
    return f"{movie['title']} ({year})" if year else str(movie["title"])


def clear_match(wanted: str, names: Sequence[str]) -> int | None:
    """The place of the name that is meant; None: several could be, or none.

    A name that is the same, letter case and accents apart, is meant before those that merely resemble it.
    """
    same = [place for place, name in enumerate(names) if plain(name) == plain(wanted)]
    found = same or list(range(len(names)))
    return found[0] if len(found) == 1 else None


def plain(name: str) -> str:
    """The name as it is compared: without letter case and accents, as people type it."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def find_movie(api: Api, text: str) -> Document:
    """The film of an id (``318`` or ``#318``) or a title, with or without its year.

    A number that is no film's id is taken for a title, such as ``1917``.

    Raises:
        NotFoundFault: there is none.
        AmbiguousFault: several fit.
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
    """The id of the user meant: an id, a name that fits one, or ``me``; nothing means ``me``.

    Raises:
        NotFoundFault: nobody has that name.
        AmbiguousFault: several people fit.
        UsageFault: ``me`` is nobody yet.
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
        return find_movie(runtime.api, text)
    except AmbiguousFault as fault:
        if not may_ask(as_json=as_json):
            raise
        labels = [titled(dict(one)) for one in fault.candidates]
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
