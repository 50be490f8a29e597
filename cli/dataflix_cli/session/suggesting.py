"""Suggestions while somebody types: asked of the API in the background, once the fingers rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document as Typed

from dataflix_cli.client import Api
from dataflix_cli.faults import Fault
from dataflix_cli.name_lookup import titled
from dataflix_contract.terminal import visible

_REST_SECONDS = 0.12
_OFFERED = 8

#: A suggestion: the text that is put in, and what is shown beside it.
Suggestion = tuple[str, str]


class Suggester(Completer):
    """Asks for suggestions in another thread, so that typing never waits for the API.

    Args:
        ask: gives the suggestions for a text; it may raise a :class:`Fault`.
        commands: what begins with a slash, with a word about each.

    Attributes:
        fault: why there are no suggestions just now; empty when all is well.
    """

    def __init__(self, ask: Callable[[str], list[Suggestion]], commands: Mapping[str, str]) -> None:
        self._ask = ask
        self._commands = commands
        self.fault = ""

    def get_completions(self, document: Typed, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Nothing: prompts ask asynchronously."""
        raise NotImplementedError

    async def get_completions_async(
        self, document: Typed, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Suggest, unless somebody goes on typing."""
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


def films(api: Api) -> Callable[[str], list[Suggestion]]:
    """Suggests films by title; typos are forgiven."""

    def ask(text: str) -> list[Suggestion]:
        found = api.get("/movies", q=text, limit=_OFFERED)["items"]
        return [(titled(one), ", ".join(one["genres"] or [])) for one in found]

    return ask


def people(api: Api) -> Callable[[str], list[Suggestion]]:
    """Suggests users by name; the id is part of what is put in, because names repeat."""

    def ask(text: str) -> list[Suggestion]:
        found = api.get("/users", name=text, limit=_OFFERED)["items"]
        return [(f"{one['name']} #{one['user_id']}", f"user {one['user_id']}") for one in found]

    return ask
