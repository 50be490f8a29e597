"""The terminal of a session: prompts with suggestions and keys, and what is printed between them."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, DummyCompleter
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from dataflix_cli import output
from dataflix_cli.client import Api
from dataflix_cli.faults import Fault
from dataflix_cli.runtime import Runtime
from dataflix_cli.session.suggesting import Suggester, films, people

#: A suggestion that takes longer is not worth the wait.
_SUGGESTION_TIMEOUT = httpx.Timeout(2.0, connect=1.0)


class Terminal:
    """Where a session reads and writes.

    Args:
        runtime: the settings and the API.
        commands: what begins with a slash, with a word about each.
        keys: function keys, and the command that each stands for.
    """

    def __init__(self, runtime: Runtime, commands: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self.api = runtime.api
        self.screen = output.console()
        quick = Api(runtime.config, timeout=_SUGGESTION_TIMEOUT)
        self._films = Suggester(films(quick), commands)
        self._people = Suggester(people(quick), {})
        self._prompt: PromptSession[str] = PromptSession(
            complete_style=CompleteStyle.COLUMN, complete_while_typing=True, reserve_space_for_menu=8
        )
        self._keys = _bindings(keys)
        self._no_keys = KeyBindings()

    def ask_film(self, question: str, keys: str) -> str:
        """Ask for a film or a command; ``keys`` is the line at the bottom."""
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
            event.current_buffer.text = command  # as if it had been typed: it stays on the screen
            event.current_buffer.validate_and_handle()

        bindings.add(key)(take)
    return bindings
