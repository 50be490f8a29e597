"""Run a command in a terminal and print its screen, as it is in the end, as an SVG picture.

.dataflix/envs/tests/bin/python docs/terminal_svg.py ./check_all_works.py >docs/img/check.svg
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from pathlib import Path

import pyte
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
    for row in range(_LINES):
        line = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            colour = None if cell.fg == "default" else cell.fg.replace("brown", "yellow")
            line.append(cell.data, Style(color=colour, bold=cell.bold))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def main(command: list[str]) -> None:
    """Print the picture to standard output."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines_of(screen_of(command)):
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=" ".join(command))
    # The picture is read from a file: it must not ask somebody's server for a font.
    sys.stdout.write(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main(sys.argv[1:])
