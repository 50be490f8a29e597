"""The session's prompts: they read a line with suggestions and function keys, and find out who the user is.

Suggestions are fetched from the API in the background, after a short pause in typing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

import httpx
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, DummyCompleter
from prompt_toolkit.document import Document as Typed
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from dataflix_cli import output
from dataflix_cli.client import Api, Document
from dataflix_cli.command_faults import Fault
from dataflix_cli.command_line import Runtime
from dataflix_cli.config import is_id
from dataflix_cli.name_lookup import titled
from dataflix_contract.terminal import visible

_REST_SECONDS = 0.12
_OFFERED = 8
#: Suggestions that take longer are dropped.
_SUGGESTION_TIMEOUT = httpx.Timeout(2.0, connect=1.0)
_NEW = "+"
_LABELLED = re.compile(r".* #(-?\d+)")
_KEYS = "type a name: yours, or a new one | Tab, arrows: choose | Ctrl-D: leave"

#: A suggestion: the text that is inserted, and the text that is shown beside it.
Suggestion = tuple[str, str]


class Suggester(Completer):
    """Fetches suggestions in another thread, so that typing never waits for the API.

    Args:
        ask: gives the suggestions for a text; it may raise a :class:`Fault`.
        commands: the commands, which begin with a slash, with a description of each.

    Attributes:
        fault: why the last suggestions could not be fetched; empty: they could.
    """

    def __init__(self, ask: Callable[[str], list[Suggestion]], commands: Mapping[str, str]) -> None:
        self._ask = ask
        self._commands = commands
        self.fault = ""

    def get_completions(self, document: Typed, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Not used, since prompts call the asynchronous method."""
        raise NotImplementedError

    async def get_completions_async(
        self, document: Typed, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Give suggestions, unless the user goes on typing."""
        text = document.text.strip()
        if complete_event.text_inserted:
            await asyncio.sleep(_REST_SECONDS)
        if not text or get_app().current_buffer.document != document:
            return
        for label, beside in await self._suggestions(text):
            yield Completion(
                label,
                start_position=-len(document.text_before_cursor),
                display=visible(label),
                display_meta=visible(beside),
            )

    async def _suggestions(self, text: str) -> list[Suggestion]:
        if text.startswith("/"):
            return [one for one in self._commands.items() if one[0].startswith(text)]
        try:
            found = await asyncio.to_thread(self._ask, text)
        except Fault as fault:
            self.fault = fault.message
            return []
        self.fault = ""
        return found


def _suggest_films(api: Api) -> Callable[[str], list[Suggestion]]:
    """A function that suggests films by title; typos are forgiven."""

    def ask(text: str) -> list[Suggestion]:
        found = api.get("/movies", q=text, limit=_OFFERED)["items"]
        return [(titled(one), ", ".join(one["genres"] or [])) for one in found]

    return ask


def _suggest_users(api: Api) -> Callable[[str], list[Suggestion]]:
    """A function that suggests users by name; the inserted text has the id, since names are not unique."""

    def ask(text: str) -> list[Suggestion]:
        found = api.get("/users", name=text, limit=_OFFERED)["items"]
        return [(f"{one['name']} #{one['user_id']}", f"user {one['user_id']}") for one in found]

    return ask


class Terminal:
    """The terminal of a session: prompts for input, and prints.

    Args:
        runtime: the settings and the API's client.
        commands: the commands, which begin with a slash, with a description of each.
        keys: function keys, and the command that each of them runs.
    """

    def __init__(self, runtime: Runtime, commands: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self.api = runtime.api
        self.screen = output.console()
        quick = Api(runtime.config, timeout=_SUGGESTION_TIMEOUT)
        self._films = Suggester(_suggest_films(quick), commands)
        self._people = Suggester(_suggest_users(quick), {})
        self._prompt: PromptSession[str] = PromptSession(
            complete_style=CompleteStyle.COLUMN, complete_while_typing=True, reserve_space_for_menu=8
        )
        self._keys = _bindings(keys)
        self._no_keys = KeyBindings()

    def ask_film(self, question: str, keys: str) -> str:
        """Ask for a film or a command; ``keys`` is the help in the line at the bottom."""
        return self._read(question, keys, self._films, self._keys)

    def ask_person(self, question: str, keys: str) -> str:
        """Ask for a user."""
        return self._read(question, keys, self._people, self._no_keys)

    def ask(self, question: str, keys: str) -> str:
        """Ask for something that needs no suggestions."""
        return self._read(question, keys, DummyCompleter(), self._no_keys)

    def say(self, text: str) -> None:
        """Print a sentence."""
        output.line(self.screen, text)

    def tell(self, fault: Fault) -> None:
        """Print what went wrong and what to do."""
        output.line(self.screen, fault.message, style="red")
        if fault.hint:
            output.line(self.screen, f"  {fault.hint}")

    def _read(self, question: str, keys: str, completer: Completer, bindings: KeyBindings) -> str:
        def toolbar() -> str:
            fault = getattr(completer, "fault", "")
            return f" {fault or keys}"

        return self._prompt.prompt(
            [("bold", question)], completer=completer, bottom_toolbar=toolbar, key_bindings=bindings
        ).strip()


def _bindings(keys: Mapping[str, str]) -> KeyBindings:
    bindings = KeyBindings()
    for key, command in keys.items():

        def take(event: KeyPressEvent, command: str = command) -> None:
            event.current_buffer.text = command  # shown as if it had been typed
            event.current_buffer.validate_and_handle()

        bindings.add(key)(take)
    return bindings


def ask_for_user(terminal: Terminal) -> Document:
    """Ask who the user is, until a user is found or created."""
    while True:
        text = terminal.ask_person("who are you? > ", _KEYS)
        if not text:
            continue
        try:
            user = _find(terminal, text)
        except Fault as fault:
            terminal.tell(fault)
            continue
        if user is not None:
            return user


def _find(terminal: Terminal, text: str) -> Document | None:
    labelled = _LABELLED.fullmatch(text)
    number = labelled[1] if labelled else text.removeprefix("#")
    if is_id(number):
        return terminal.api.get(f"/users/{number}")
    found: list[Any] = terminal.api.get("/users", name=text, limit=10)["items"]
    same = [one for one in found if (one["name"] or "").casefold() == text.casefold()]
    if len(same) == 1:
        return terminal.api.get(f"/users/{same[0]['user_id']}")
    if found:
        return _choose(terminal, text, found)
    return _create(terminal, text)


def _choose(terminal: Terminal, name: str, found: list[Any]) -> Document | None:
    output.users(terminal.screen, {"items": found})
    text = terminal.ask(f"id, or {_NEW} for a new user {name} > ", "Enter: back")
    if text == _NEW:
        return _create(terminal, name)
    return terminal.api.get(f"/users/{text}") if is_id(text) else None


def _create(terminal: Terminal, name: str) -> Document | None:
    email = terminal.ask(f"a new user {name}; e-mail > ", "Enter: back")
    if not email:
        return None
    user = terminal.api.post("/users", {"name": name, "email": email})
    terminal.say(f"welcome: you are user {user['user_id']} (dataflix config set user {user['user_id']})")
    return user
