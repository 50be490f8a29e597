"""How the text of a file is encoded, found from its bytes: one decision for the whole file.

UTF-8, if that is what most lines with accents are; otherwise Windows-1252, of which Latin-1 is a part.
UTF-16 by its byte order mark or its zero bytes. Text that was UTF-8, was read as Windows-1252 and was
written as UTF-8 again ("MisÃ©rables") is turned back.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from dataflix_postgres.faults import Fault

#: The bytes 0x80 to 0x9F are control characters in Latin-1 and letters and quotes in Windows-1252;
#: whoever wrote mangled text used either, so both are turned back.
_WINDOWS_1252 = {
    ord(bytes([byte]).decode("cp1252")): byte
    for byte in range(0x80, 0xA0)
    if byte not in {0x81, 0x8D, 0x8F, 0x90, 0x9D}
}
_MOST_LAYERS = 3
_LINES_KEPT = 5_000
_LONGEST_KEPT = 4_096
#: What stands between small letters when text of MS-DOS or an old Macintosh is read as Windows-1252.
_ODD_LETTERS = re.compile(
    r"[a-z][^\x00-\x7f\xa0\xad\xb7\xdf-\xf6\xf8-\xff\u0153\u0161\u017e\u2010-\u2019][a-z]"
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file is decoded.

    Attributes:
        codec: Python's name of the encoding.
        name: its name for people.
        layers: how many times the text has been mangled, and must be turned back.
    """

    codec: str
    name: str
    layers: int = 0

    @property
    def errors(self) -> str:
        """How the decoder marks what is not in the encoding: see `undecodable`."""
        return "replace" if self.codec.startswith("utf-16") else "surrogateescape"

    def repair(self, text: str) -> str:
        """Turn mangled text back; a line that was not mangled stays as it is."""
        for _ in range(self.layers):
            text = unmangled(text) or text
        return text


UTF_8 = Encoding("utf-8", "UTF-8")


def undecodable(text: str) -> bool:
    """Whether decoding left marks of bytes that are not in the encoding."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def unmangled(text: str) -> str | None:
    """The text as it was before UTF-8 was read as Windows-1252 or Latin-1; None if it was not."""
    try:
        before = text.translate(_WINDOWS_1252).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    return before if before != text else None


class EncodingFinder:
    """Looks at a file's bytes, block by block, and tells the encoding.

    Args:
        holds_text: whether there are words in the file. Where there are only numbers, a byte that is
            not ASCII is a fault of its line, and no sign of another encoding.
    """

    def __init__(self, *, holds_text: bool) -> None:
        self._holds_text = holds_text
        self._start = b""
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, block: bytes) -> None:
        """Look at the next block."""
        if len(self._start) < _LONGEST_KEPT:
            self._start += block[:_LONGEST_KEPT]
        if not self._holds_text or len(self._lines) >= _LINES_KEPT:
            return
        if block.isascii() and self._rest.isascii():
            self._rest = block[-_LONGEST_KEPT:].rpartition(b"\n")[2]
            return
        *lines, rest = (self._rest + block).split(b"\n")
        self._rest = rest[-_LONGEST_KEPT:]
        self._lines += [line[:_LONGEST_KEPT] for line in lines if not line.isascii()]

    def encoding(self, file: str) -> Encoding:
        """Tell the encoding of what was fed.

        Raises:
            Fault: it is none that can be told from the bytes.
        """
        if marked := _by_mark(self._start) or _by_zero_bytes(self._start):
            return marked
        lines = self._lines if self._rest.isascii() else [*self._lines, self._rest]
        if not self._holds_text or not lines:
            return UTF_8
        decoded = [text for line in lines if (text := _decode(line)) is not None]
        if 2 * len(decoded) >= len(lines):
            return _layered(decoded)
        return _eight_bits(lines, file)


def _by_mark(start: bytes) -> Encoding | None:
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return Encoding("utf-32", "UTF-32")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Encoding("utf-16", "UTF-16")
    return None


def _by_zero_bytes(start: bytes) -> Encoding | None:
    """UTF-16 without a mark: in Western text every second byte is zero."""
    half = len(start) // 2
    zeros = start[: 2 * half : 2].count(0), start[1 : 2 * half : 2].count(0)
    if half and max(zeros) > 0.8 * half and min(zeros) < 0.2 * half:
        return Encoding("utf-16-be", "UTF-16") if zeros[0] > zeros[1] else Encoding("utf-16-le", "UTF-16")
    return None


def _decode(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _layered(texts: list[str]) -> Encoding:
    layers = 0
    while layers < _MOST_LAYERS:
        before = [unmangled(text) for text in texts]
        if 2 * sum(text is not None for text in before) <= len(texts):
            break
        layers += 1
        texts = [text for text in before if text is not None and not text.isascii()]
    if layers == 0:
        return UTF_8
    return Encoding("utf-8", "UTF-8 that was encoded twice, turned back", layers)


def _eight_bits(lines: list[bytes], file: str) -> Encoding:
    texts = [line.decode("cp1252", "replace") for line in lines]
    odd = sum(bool(_ODD_LETTERS.search(text)) for text in texts)
    if 2 * odd > len(texts):
        raise Fault(
            f"the encoding of {file} is neither UTF-8, UTF-16, Latin-1 nor Windows-1252: convert the file"
            " to UTF-8 first (iconv -f MACINTOSH -t UTF-8, if it comes from an old Macintosh;"
            " iconv -f CP850 -t UTF-8, if from MS-DOS)"
        )
    windows = any(0x80 <= byte < 0xA0 for line in lines for byte in line)  # noqa: PLR2004
    return Encoding("cp1252", "Windows-1252" if windows else "Latin-1")
