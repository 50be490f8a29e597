"""Print answers: one JSON document for programs, or tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.markup import escape
from rich.table import Table

from dataflix_cli.client import Document
from dataflix_cli.name_lookup import titled
from dataflix_cli.stars import draw, number
from dataflix_contract.console import Console
from dataflix_contract.terminal import visible

#: The width if the output is no terminal: wide enough that nothing is cut.
_PIPED_WIDTH = 200
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NO_MODEL = "no model of these films is served yet: dataflix status"


def console() -> Console:
    """Standard output, with colours only on a terminal, and none if NO_COLOR is set."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def emit(document: Any, *, as_json: bool, show: Callable[[Console, Any], None]) -> None:
    """Print an answer: as JSON for programs, or by ``show`` for people."""
    if as_json:
        print_json(document)
    else:
        show(console(), document)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json_text(document, sys.stdout, indent=2) + "\n")


def json_text(document: Any, stream: TextIO, indent: int | None = None) -> str:
    """A document as JSON. Letters beyond ASCII are escaped unless the stream takes all of Unicode.

    Control characters that a terminal would obey are escaped too; the document means the same.
    """
    letters_are_escaped = not stream.encoding.lower().startswith("utf")
    return visible(json.dumps(document, indent=indent, ensure_ascii=letters_are_escaped))


def line(screen: Console, text: str, *, markup: bool = False, style: str = "") -> None:
    """Print a line. A terminal breaks it between words; elsewhere it stays whole."""
    screen.print(text, markup=markup, style=style, soft_wrap=not screen.is_terminal)


def say(text: str) -> Callable[[Console, Any], None]:
    """A function for :func:`emit` that prints this text instead of the document."""

    def show(screen: Console, _document: Any) -> None:
        line(screen, text)

    return show


def table(*headings: str, right: Iterable[str] = ()) -> Table:
    """Make an empty table; the columns named in ``right`` are aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    numbers = set(right)
    for heading in headings:
        is_number = heading in numbers  # on a narrow terminal, titles are wrapped, but not numbers
        made.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return made


def users(screen: Console, document: Mapping[str, Any]) -> None:
    """Print users, one on each line."""
    rows = table("id", "name", right=["id"])
    for user in document["items"]:
        rows.add_row(str(user["user_id"]), escape(user["name"] or ""))
    _print_list(screen, rows, document, "nobody")


def user(screen: Console, document: Document) -> None:
    """Print one user."""
    born = f"born {document['birth_year']}" if document["birth_year"] else ""
    place = ", ".join(part for part in (document["city"], document["state"]) if part)
    line(screen, f"[bold]{escape(document['name'] or '')}[/]  user {document['user_id']}", markup=True)
    rest = "  ".join(part for part in (document["email"], born, place) if part)
    line(screen, rest)


def movies(screen: Console, document: Mapping[str, Any]) -> None:
    """Print films, one on each line."""
    rows = table("id", "film", "genres", "stars", "ratings", right=["id", "stars", "ratings"])
    for one in document["items"]:
        rows.add_row(
            str(one["movie_id"]),
            escape(titled(one)),
            _genres(one),
            number(one["rating_mean"]),
            f"{one['rating_count']:,}",
        )
    _print_list(screen, rows, document, "no film fits: fewer letters or another genre find more")


def movie(screen: Console, document: Document) -> None:
    """Print one film."""
    line(screen, f"[bold]{escape(titled(document))}[/]  film {document['movie_id']}", markup=True)
    mean = document["rating_mean"]
    ratings = count(document["rating_count"], "rating")
    rated = f"{draw(mean)} {number(mean)} from {ratings}" if mean else "no rating yet"
    line(screen, f"{_genres(document)}  [yellow]{rated}[/]", markup=True)
    if document.get("overview"):
        line(screen, document["overview"])


def similar(screen: Console, document: Mapping[str, Any]) -> None:
    """Print films that are like another one."""
    rows = table("id", "film", "genres", "likeness", right=["id", "likeness"])
    for one in document["items"]:
        rows.add_row(str(one["movie_id"]), escape(titled(one)), _genres(one), f"{one['score']:.3f}")
    none = _NO_MODEL if document["model"] is None else "the model knows no film like it"
    _print_list(screen, rows, document, none)


def genres(screen: Console, document: Mapping[str, Any]) -> None:
    """Print genres with their numbers of films."""
    rows = table("genre", "films", right=["films"])
    for one in document["items"]:
        rows.add_row(escape(one["genre"]), f"{one['movies']:,}")
    _print_list(screen, rows, document, "no genres: the catalogue is empty")


def rated(screen: Console, document: Mapping[str, Any], *, numbered: bool = False) -> None:
    """Print a user's watched films or ratings; ``numbered`` shows numbers of rows instead of films' ids."""
    rows = table("" if numbered else "id", "film", "stars", "when", right=["", "id"])
    for place, one in enumerate(document["items"], start=1):
        film = one["movie"]
        when = one.get("updated_at") or one.get("watched_at") or ""
        stars = f"[yellow]{draw(one['rating'])}[/]" if one["rating"] is not None else "[dim]not rated[/]"
        identity = place if numbered else film["movie_id"]
        rows.add_row(str(identity), escape(titled(film)), stars, ago(when))
    _print_list(screen, rows, document, "nothing yet: dataflix rate USER MOVIE STARS")


def dismissed(screen: Console, document: Mapping[str, Any], *, numbered: bool = False) -> None:
    """Print the films that a user has dismissed; ``numbered`` as in :func:`rated`."""
    rows = table("" if numbered else "id", "film", "when", right=["", "id"])
    for place, one in enumerate(document["items"], start=1):
        film = one["movie"]
        identity = place if numbered else film["movie_id"]
        rows.add_row(str(identity), escape(titled(film)), ago(one["dismissed_at"]))
    _print_list(screen, rows, document, "nothing: dataflix dismiss USER MOVIE")


def recommendations(screen: Console, document: Mapping[str, Any], before: list[int] | None = None) -> None:
    """Print recommended films with stars and reasons.

    Args:
        screen: where to print.
        document: the API's answer.
        before: ids of the films that were recommended before, to show which have moved; None: not shown.
    """
    rows = table("", *([] if before is None else [" "]), "film", "stars", "because you liked", right=[""])
    for place, one in enumerate(document["items"]):
        moved = [] if before is None else [_moved(one["movie_id"], place, before)]
        rows.add_row(
            str(place + 1),
            *moved,
            f"{escape(titled(one))} [dim]#{one['movie_id']}[/]{_newness(one)}",
            f"[yellow]{draw(one['stars'])}[/] {_give_or_take(one)}",
            escape(" and ".join(reason["title"] for reason in one["reasons"])),
        )
    _print_list(screen, rows, document, "nothing is left to recommend: try another genre")
    line(screen, basis(document), style="dim")


def _newness(item: Mapping[str, Any]) -> str:
    """The mark of a film that nobody has rated."""
    return " [green]new film[/]" if item.get("new") else ""


def _give_or_take(item: Mapping[str, Any]) -> str:
    """Predicted stars, with their standard deviation if it is known."""
    deviation = item.get("stars_deviation")
    return number(item["stars"]) + ("" if deviation is None else f" [dim]±{number(deviation)}[/]")


def basis(document: Mapping[str, Any]) -> str:
    """A sentence that says which ratings and which model recommendations are based on."""
    used, model = document["based_on"], document["model"]
    newer = used["fresh_ratings"]
    all_of_them = newer == used["ratings"]
    fresh = f",{'' if all_of_them else f' {newer} of them'} newer than the model" if newer else ""
    if document["strategy"] == "personal":
        words = f"from {count(used['ratings'], 'rating')}{fresh}"
    elif used["ratings"]:
        words = "what is popular: the model knows none of the films that you rated yet"
    else:
        words = "what is popular: rate a film and this becomes yours"
    if model is None:
        return f"{words}; {_NO_MODEL}"
    kept = " (from this machine's copy: MLflow is away)" if model["source"] == "disk" else ""
    return f"{words}; model {model['version']}, {duration(model['age_seconds'])} old{kept}"


def count(amount: int, what: str) -> str:
    """An amount with its noun: ``1 rating``, ``2 ratings``."""
    return f"{amount:,} {what}{'' if amount == 1 else 's'}"


def ago(timestamp: str) -> str:
    """How long ago a timestamp of the API was, such as ``3 min ago``."""
    if not timestamp:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
    return "just now" if seconds < _MINUTE else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """A duration in its largest unit, such as ``3 min``."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(seconds, 0))} s"


def _moved(movie_id: int, place: int, before: list[int]) -> str:
    if movie_id not in before:
        return "[green]new[/]"
    up = before.index(movie_id) - place
    return f"[green]▲{up}[/]" if up > 0 else f"[red]▼{-up}[/]" if up < 0 else ""


def _genres(film: Mapping[str, Any]) -> str:
    return escape(", ".join(film["genres"] or []))


def _print_list(screen: Console, rows: Table, document: Mapping[str, Any], empty: str) -> None:
    if not document["items"]:
        line(screen, empty)
        return
    screen.print(rows)
    if document.get("more"):
        screen.print("[dim]there are more: -n lists them[/]")
