"""What people read in a terminal.

Output is for every terminal: what its encoding does not have is written in other characters, and characters
that it would obey are shown instead. Every program uses one sentence for a server that does not answer.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
import unicodedata

#: What a terminal obeys instead of showing it, as in the brackets of a regular expression: control characters
#: (Unicode's category Cc), and marks that change the direction of the text behind them. Nobody's name and no
#: title holds such a character: the API refuses them, the importer leaves them out.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[{CONTROLS}]")
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


def cannot_use(server: str, address: str, fault: BaseException | str) -> str:
    """What a program ends with when a server does not answer, or refuses: which one, where, and what to do.

    Args:
        server: its name, such as ``Kafka``.
        address: where it was looked for.
        fault: what the library raised or said; one line is taken of it.
    """
    reason, *_ = (fault if isinstance(fault, str) else _reason(fault)).strip().splitlines() or ["no answer"]
    return (
        f"cannot use {server} at {address}: {reason.rstrip('.:')}. ./run.sh starts it, bin/dataflix-status"
        " shows what runs; addresses and logins are in .env"
    )


def first_line(fault: BaseException) -> str:
    """An error in one line: the first of its message, or its name where it has none."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def _reason(fault: BaseException) -> str:
    """The system's own words, such as "Connection refused", if they are what the library's say at length."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(fault) or type(fault).__name__


def visible(text: str) -> str:
    r"""The text with escapes such as ``\u001b`` in the place of what a terminal obeys; its lines stay lines.

    They are JSON's: a document of JSON stays the same document.
    """
    return _CONTROL.sub(_escaped, text)


def without_controls(text: str) -> str:
    """The text without what a terminal obeys."""
    return _CONTROL.sub("", text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}"


def _alike(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    text = fault.object[fault.start : fault.end].translate(_ALIKE)
    letters = (one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return "".join(one if one.isascii() else "?" for one in letters), fault.end
