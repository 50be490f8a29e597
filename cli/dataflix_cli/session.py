"""The interactive session, which ``dataflix`` starts on a terminal without a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dataflix_cli import name_lookup, output
from dataflix_cli.client import Api, Document
from dataflix_cli.command_faults import AmbiguousFault, Fault, NotFoundFault
from dataflix_cli.command_line import Runtime
from dataflix_cli.config import is_id
from dataflix_cli.session_prompts import Terminal, ask_for_user
from dataflix_cli.stars import StarsError, draw, parse_stars

_COMMANDS = {
    "/recommend": "what to watch next; /recommend Drama for a genre",
    "/ratings": "what you have rated",
    "/watched": "what you have watched",
    "/dismiss": "you are not interested in a film: /dismiss 2, or a title; /undo takes it back",
    "/dismissed": "what you are not interested in",
    "/undo": "take the last change back",
    "/user": "switch to another user",
    "/help": "this list",
    "/quit": "leave",
}
_KEYS = {"f1": "/help", "f2": "/recommend", "f3": "/ratings", "f4": "/undo", "f5": "/user"}
_LINE = "F1 help | F2 recommend | F3 ratings | F4 undo | F5 user | Tab, arrows: choose | Ctrl-D leave"
_FILM_LINE = (
    "0.5 to 5: rate | w: watched | n: not interested | s: similar films | x: delete the rating | Enter: back"
)
_LISTED = 15
_GENRES = 6
_SHORT, _LONG = 5, 10
#: More films than anybody has watched; the API gives them in pages of a hundred.
_ALL = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """What a user has said about a film.

    Attributes:
        watched: whether they have watched it.
        rating: their stars; None: not rated.
        dismissed: whether they have dismissed it.
    """

    watched: bool = False
    rating: float | None = None
    dismissed: bool = False


class UserFilms:
    """One user's films, read from the API at the start; changes are written to the API and can be undone.

    Args:
        api: the API's client.
        user_id: the user.
    """

    def __init__(self, api: Api, user_id: int) -> None:
        self._api = api
        self._user_id = user_id
        watched, _ = api.items(f"/users/{user_id}/watched", _ALL)
        self._entries = {
            one["movie"]["movie_id"]: Entry(watched=True, rating=one["rating"]) for one in watched
        }
        dismissed, _ = api.items(f"/users/{user_id}/dismissed", _ALL)
        for one in dismissed:
            movie = one["movie"]
            self._entries[movie["movie_id"]] = replace(self.of(movie), dismissed=True)
        self._changes: list[tuple[Document, Entry]] = []

    def of(self, movie: Document) -> Entry:
        """What the user has said about a film."""
        return self._entries.get(movie["movie_id"], Entry())

    def change(self, movie: Document, wanted: Entry) -> None:
        """Watch, rate or dismiss a film, or take one of these back; the old entry is kept for undoing."""
        before = self.of(movie)
        self._write(movie, wanted)
        self._changes.append((movie, before))

    def undo(self) -> tuple[Document, Entry] | None:
        """Undo the last change of this session that was not undone yet.

        Returns:
            the film and its restored entry; None: there is nothing to undo.
        """
        if not self._changes:
            return None
        movie, before = self._changes[-1]
        self._write(movie, before)
        self._changes.pop()
        return movie, before

    def _write(self, movie: Document, wanted: Entry) -> None:
        movie_id = movie["movie_id"]
        body = {"user_id": self._user_id, "movie_id": movie_id}
        if wanted.dismissed != self.of(movie).dismissed:
            if wanted.dismissed:
                self._api.post("/dismissed", body)
            else:
                self._delete(f"/dismissed/{self._user_id}/{movie_id}")
        elif wanted.rating is not None:
            self._api.post("/ratings", {**body, "rating": wanted.rating})
        elif not wanted.watched:
            self._delete(f"/watched/{self._user_id}/{movie_id}")
        else:
            self._api.post("/watched", body)
            if self.of(movie).rating is not None:
                self._delete(f"/ratings/{self._user_id}/{movie_id}")
        self._entries[movie_id] = wanted

    def _delete(self, path: str) -> None:
        try:
            self._api.delete(path)
        except NotFoundFault:
            return  # it was already deleted, perhaps in another window


def start(runtime: Runtime) -> None:
    """Run a session until the user leaves it.

    Raises:
        Fault: the API does not answer when the session begins.
    """
    terminal = Terminal(runtime, _COMMANDS, _KEYS)
    try:
        _welcome(terminal, runtime)
    except (EOFError, KeyboardInterrupt):
        terminal.say("bye")


def _welcome(terminal: Terminal, runtime: Runtime) -> None:
    genres = terminal.api.get("/genres")["items"]  # also shows at once whether the API answers
    known = ", ".join(one["genre"] for one in genres[:_GENRES])
    terminal.say(f"{known} and more" if genres else "the catalogue is empty: bin/dataflix-import fills it")
    user = _default_user(terminal, runtime.config.user.text) or ask_for_user(terminal)
    while _Session(terminal, user).run():
        user = ask_for_user(terminal)


def _default_user(terminal: Terminal, user_id: str) -> Document | None:
    if not user_id:
        return None
    try:
        return terminal.api.get(f"/users/{user_id}")
    except NotFoundFault:
        terminal.say(f"user {user_id} of your settings is not there any more: dataflix config unset user")
        return None


class _Session:
    """The session of one user, until another user takes over or the program ends."""

    def __init__(self, terminal: Terminal, user: Document) -> None:
        self._terminal = terminal
        self._api = terminal.api
        self._user = user
        self._films = UserFilms(self._api, user["user_id"])
        self._listed: list[Document] = []
        self._recommended: list[int] | None = None
        self._commands: dict[str, Callable[[str], object]] = {
            "/recommend": self._recommend,
            "/ratings": lambda _rest: self._list("ratings"),
            "/watched": lambda _rest: self._list("watched"),
            "/dismiss": self._dismiss,
            "/dismissed": lambda _rest: self._list("dismissed"),
            "/undo": lambda _rest: self._undo(),
            "/help": lambda _rest: self._help(),
        }

    def run(self) -> bool:
        """Read films and commands until another user is wanted (True); leaving raises EOFError."""
        self._terminal.say(f"hello {self._user['name']}: type a title, or F1")
        self._guard(lambda: self._show_recommendations(_SHORT))
        while True:
            self._terminal.say("")
            text = self._terminal.ask_film("film > ", _LINE)
            if text == "/quit":
                raise EOFError
            if text == "/user":
                return True
            if text:
                self._guard(lambda text=text: self._take(text))  # type: ignore[misc]

    def _guard(self, action: Callable[[], None]) -> None:
        """Do an action; if it fails, print the fault, and go on with the session."""
        try:
            action()
        except AmbiguousFault as fault:
            self._show_films([dict(one) for one in fault.candidates])
        except Fault as fault:
            self._terminal.tell(fault)

    def _take(self, text: str) -> None:
        if text.startswith("/"):
            name, _, rest = text.partition(" ")
            command = self._commands.get(name)
            if command is None:
                self._terminal.say(f"there is no {name}: F1 shows the commands")
            else:
                command(rest.strip())
            return
        self._film(self._found(text))

    def _found(self, text: str) -> Document:
        """Find the film meant by a row's number in the last list, an id, or a title."""
        if is_id(text) and 0 < int(text) <= len(self._listed):
            return self._api.get(f"/movies/{self._listed[int(text) - 1]['movie_id']}")
        return name_lookup.find_movie(self._api, text)

    def _film(self, movie: Document) -> None:
        output.movie(self._terminal.screen, movie)
        self._terminal.say(f"you: {_standing(self._films.of(movie))}")
        while True:
            text = self._terminal.ask("stars > ", _FILM_LINE)
            if not text:
                return
            if text == "s":
                self._similar(movie)
                return
            try:
                wanted = self._wanted(movie, text)
            except StarsError as fault:
                self._terminal.say(f"{fault}; or w, n, s, x, Enter")
                continue
            self._change(movie, wanted)
            return

    def _wanted(self, movie: Document, text: str) -> Entry:
        now = self._films.of(movie)
        if text == "w":
            return replace(now, watched=True)
        if text == "n":
            return replace(now, dismissed=not now.dismissed)
        if text == "x":
            return replace(now, rating=None)
        return replace(now, watched=True, rating=parse_stars(text))

    def _change(self, movie: Document, wanted: Entry) -> None:
        self._films.change(movie, wanted)
        self._terminal.say(f"{name_lookup.titled(movie)}: {_standing(wanted)}")
        self._show_recommendations(_SHORT)

    def _dismiss(self, text: str) -> None:
        if not text:
            self._terminal.say("which film? /dismiss 2 for a row of the last list, a title, or #id")
            return
        movie = self._found(text)
        entry = self._films.of(movie)
        if entry.dismissed:
            title = name_lookup.titled(movie)
            self._terminal.say(f"{title}: {_standing(entry)} already; n at the film takes it back")
            return
        self._change(movie, replace(entry, dismissed=True))

    def _similar(self, movie: Document) -> None:
        path, user_id = f"/movies/{movie['movie_id']}/similar", self._user["user_id"]
        self._show_films(self._api.get(path, limit=_LONG, user_id=user_id)["items"])

    def _recommend(self, genre: str) -> None:
        self._show_recommendations(_LONG, genre)

    def _show_recommendations(self, number: int, genre: str = "") -> None:
        """Show recommendations, and which films have moved since they were shown last."""
        path = f"/recommendations/{self._user['user_id']}"
        document = self._api.get(path, n=_LONG, genre=genre or None)
        ranked = [one["movie_id"] for one in document["items"]]
        shown = {**document, "items": document["items"][:number]}
        output.recommendations(self._terminal.screen, shown, None if genre else self._recommended)
        self._listed = shown["items"]
        if not genre:
            self._recommended = ranked

    def _list(self, what: str) -> None:
        items, more = self._api.items(f"/users/{self._user['user_id']}/{what}", _LISTED)
        self._listed = [one["movie"] for one in items]
        show = output.dismissed if what == "dismissed" else output.rated
        show(self._terminal.screen, {"items": items, "more": more}, numbered=True)

    def _show_films(self, found: list[Document]) -> None:
        self._listed = found
        for place, one in enumerate(found, start=1):
            self._terminal.say(f"{place:>3}  {name_lookup.titled(one)}")
        self._terminal.say("the number chooses" if found else "there is none")

    def _undo(self) -> None:
        undone = self._films.undo()
        if undone is None:
            self._terminal.say("nothing to take back: no change in this session")
            return
        movie, standing = undone
        self._terminal.say(f"{name_lookup.titled(movie)}: {_standing(standing)} again")
        self._show_recommendations(_SHORT)

    def _help(self) -> None:
        rows = output.table("", "key", "")
        keys = {command: key.upper() for key, command in _KEYS.items()}
        for command, words in _COMMANDS.items():
            rows.add_row(command, keys.get(command, ""), words)
        self._terminal.screen.print(rows)
        self._terminal.say("A title, with typos or not, a number of the last list, or #id opens a film.")
        self._terminal.say(f"There: {_FILM_LINE}")


def _standing(entry: Entry) -> str:
    if entry.rating is not None:
        words = draw(entry.rating)
    else:
        words = "watched, not rated" if entry.watched else "not watched"
    return f"{words}, not interested" if entry.dismissed else words
