"""Run a command in a terminal and print its screen, as it is in the end, as an SVG picture.

.dataflix/envs/tests/bin/python docs/terminal_svg.py ./check_all_works.py >docs/img/check.svg
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from itertools import groupby
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS = 110
_LINES = 200


def screen_of(command: list[str]) -> pyte.Screen:
    """Run the command in a terminal of 110 columns and return what stands there when it has ended."""
    screen = pyte.Screen(COLUMNS, _LINES)
    stream = pyte.ByteStream(screen)
    os.environ |= {"COLUMNS": str(COLUMNS), "LINES": str(_LINES), "TERM": "xterm-256color"}

    def read(terminal: int) -> bytes:
        chunk = os.read(terminal, 65536)
        stream.feed(chunk)
        return b" "  # pty.spawn copies what we return to the real terminal, and ends on nothing

    with Path(os.devnull).open("w") as nowhere:
        shown, errors = os.dup(1), os.dup(2)
        os.dup2(nowhere.fileno(), 1)
        pty.spawn(command, read)
        os.dup2(shown, 1)
        os.dup2(errors, 2)
    return screen


def lines_of(screen: pyte.Screen) -> list[Text]:
    """The screen's lines with their colours, without the empty ones at the end."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        # word by word: a cell each makes five times the picture, and blanks at a word's edge are lost
        for (style, _), alike in groupby(cells, lambda cell: (_style(cell), cell.data == " ")):
            line.append("".join(cell.data for cell in alike), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _style(cell: Char) -> Style:
    return Style(color=_colour(cell.fg), bgcolor=_colour(cell.bg), bold=cell.bold, reverse=cell.reverse)


def _colour(name: str) -> str | None:
    """A colour of pyte's as rich names it: a name, or six hexadecimal digits."""
    if name == "default":
        return None
    if len(name) == 6 and all(digit in "0123456789abcdef" for digit in name):  # noqa: PLR2004 - RGB
        return f"#{name}"
    return name.replace("brown", "yellow").replace("bright", "bright_")


def picture(lines: list[Text], title: str, columns: int = COLUMNS) -> str:
    """The lines as an SVG picture of a terminal."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=title)
    # The picture is read from a file: it must not ask somebody's server for a font.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main(command: list[str]) -> None:
    """Print the picture to standard output."""
    sys.stdout.write(picture(lines_of(screen_of(command)), " ".join(command)))


if __name__ == "__main__":
    main(sys.argv[1:])
