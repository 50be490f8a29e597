"""Make output safe for any terminal.

Characters that the terminal's encoding does not have are replaced, and control characters are shown instead
of obeyed.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
import unicodedata

#: Characters that a terminal obeys instead of showing them, for the brackets of a regular expression: control
#: characters (Unicode's category Cc), and marks that change the direction of the text after them. The API
#: refuses names and titles with such characters, and the importer leaves them out.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[{CONTROLS}]")
_ERRORS = "dataflix-alike"
_ALIKE = str.maketrans({
    "★": "*", "☆": ".", "½": "+", "▲": "^", "▼": "v", "…": "...", "→": "->", "·": ".", "●": "*", "○": "o",
    "─": "-", "━": "-", "\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'", "“": '"', "”": '"',
    "ß": "ss",
})  # fmt: skip


def make_output_safe() -> None:
    """Let standard output and error take any text, whatever the terminal's encoding is.

    Call it once at the start of a program. A character that the encoding does not have is replaced by one
    that looks alike, by its letter without accents, or by a question mark.
    """
    codecs.register_error(_ERRORS, _alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test may have put something else in its place
            stream.reconfigure(errors=_ERRORS)


def visible(text: str) -> str:
    r"""The text with control characters escaped, such as ``\u001b``; tabs and line breaks are kept.

    The escapes are JSON's, so that a JSON document stays the same document.
    """
    return _CONTROL.sub(_escaped, text)


def without_controls(text: str) -> str:
    """The text without control characters."""
    return _CONTROL.sub("", text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}"


def _alike(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    text = fault.object[fault.start : fault.end].translate(_ALIKE)
    letters = (one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return "".join(one if one.isascii() else "?" for one in letters), fault.end
