"""The console of every program that prints tables and messages with rich, which each of them brings along."""

from __future__ import annotations

from typing import Any

from rich import console
from rich.text import Text

from dataflix_contract.terminal import visible


class Console(console.Console):
    """Rich's console for text of other people: titles, names, and messages of servers.

    What a terminal would obey is shown, and ``:cat:`` is no picture. Use it in the place of rich's own, and
    escape text that stands beside markup: ``[bold]`` can be a title.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich makes each text that it prints of a string here, those in tables too."""
        return super().render_str(visible(text), **options)
