"""Output for every terminal: what its encoding does not have is written in other characters."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_ERRORS = "dataflix-alike"
_ALIKE = str.maketrans({
    "★": "*", "☆": ".", "½": "+", "▲": "^", "▼": "v", "…": "...", "→": "->", "·": ".", "●": "*", "○": "o",
    "─": "-", "━": "-", "\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'", "“": '"', "”": '"',
    "ß": "ss",
})  # fmt: skip


def make_output_safe() -> None:
    """Let standard output and error take any text, whatever the terminal's encoding.

    Call it once where a program begins. A character that the encoding does not have is replaced by one
    that looks alike, by its letter without accents, or by a question mark.
    """
    codecs.register_error(_ERRORS, _alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test may have put something else in its place
            stream.reconfigure(errors=_ERRORS)


def _alike(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    text = fault.object[fault.start : fault.end].translate(_ALIKE)
    letters = (one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return "".join(one if one.isascii() else "?" for one in letters), fault.end
