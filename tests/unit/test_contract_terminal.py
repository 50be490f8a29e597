"""What a terminal would obey is shown, and text that looks like markup is text."""

import io
import json
import re
import sys
import unicodedata
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from dataflix_contract.console import Console
from dataflix_contract.terminal import CONTROLS, visible, without_controls

ROOT = Path(__file__).resolve().parents[2]
#: Unicode's classes of characters that embed, override or isolate the direction of what follows.
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HOSTILE = "A\x1b[31mB\x9b2JC\u202eD\u2066E\x07\r"


def test_the_rule_is_unicode_s() -> None:
    letters = "".join(map(chr, range(sys.maxunicode + 1)))
    wanted = [
        letter
        for letter in letters
        if unicodedata.category(letter) == "Cc" or unicodedata.bidirectional(letter) in DIRECTIONS
    ]
    assert re.findall(f"[{CONTROLS}]", letters) == wanted


def test_what_a_terminal_obeys_is_shown_or_left_out_and_other_text_stays() -> None:
    assert visible(HOSTILE) == r"A\u001b[31mB\u009b2JC\u202eD\u2066E\u0007\u000d"
    assert without_controls(HOSTILE) == "A[31mB2JCDE"
    for text in ("two\nlines\tand a tab", "سمن \u200f", "👩\u200d👩", "Amélie"):
        assert visible(text) == text


def test_a_document_of_json_stays_the_same() -> None:
    document = {"title": HOSTILE}
    text = visible(json.dumps(document, ensure_ascii=False, indent=2))
    assert json.loads(text) == document
    assert not re.search(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_tables_and_lines_show_what_a_terminal_would_obey_and_no_pictures() -> None:
    screen = Console(file=io.StringIO(), width=120)
    table = Table("title", title=HOSTILE)
    table.add_row(escape(f"[bold]{HOSTILE}[/] :cat:"))
    screen.print(table)
    screen.print(HOSTILE, ":cat:", markup=False)
    assert isinstance(screen.file, io.StringIO)
    told = screen.file.getvalue()
    assert told.count(visible(HOSTILE)) == 3
    assert rf"[bold]{visible(HOSTILE)}[/] :cat:" in told
    assert told.count(":cat:") == 2
    assert visible(told) == told


def test_every_program_uses_this_console() -> None:
    for path in ROOT.glob("*/dataflix_*/**/*.py"):
        text = path.read_text("utf-8")
        if path.name != "console.py" and "from rich.console import Console" in text:
            assert not re.search(r"\bConsole\(", text), path
