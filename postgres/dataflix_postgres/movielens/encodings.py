"""How the text of a file is encoded, found from its bytes: one decision for the whole file.

UTF-8, if that is what most lines with accents are; otherwise Windows-1252, of which Latin-1 is a part, if
what it makes of the bytes looks like a Western language. UTF-16 by its byte order mark or its zero bytes.
Text that was UTF-8, was read as Windows-1252 and was written as UTF-8 again ("MisÃ©rables") is turned back.
Any other encoding must be named by the person who imports.
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import ClassVar

from dataflix_contract.faults import Fault

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
#: Stands for bytes that are not in the encoding; no text of a file can hold it.
_MARK = "\udcff"
#: The decoders' error handler that puts it there, whatever the encoding.
_MARK_ERRORS = "dataflix-mark"
#: What is between small letters when text of MS-DOS or an old Macintosh is read as Windows-1252.
_ODD_LETTERS = re.compile(
    r"[a-z][^\x00-\x7f\xa0\xad\xb7\xdf-\xf6\xf8-\xff\u0153\u0161\u017e\u2010-\u2019][a-z]"
)
#: What other encodings give when they are read as Windows-1252, and languages written in it hardly ever have.
_NOT_WESTERN = re.compile(
    r"[^\x00-\x7f\xa0\xa1\xab\xbb\xbf\u2010-\u2026]{3}"  # Cyrillic, Greek, Hebrew, Chinese and other scripts
    r"|[a-zß-öø-ÿ][¡¿¹³¼½¾£¥¦±µ¶]"  # ł, ą, ż and other Polish and Slovak letters
    r"|ñ(?![aeiouyáéíóúü])"  # ń, ň: in Spanish a vowel comes next
    r"|œ(?:\b|[wkczp])"  # ś
    r"|[ìòù](?=[a-zß-öø-ÿ])|è(?=[aeiouyáéíóúý])|ø(?=[aiuáéíóúì])"  # ě, ň, ů, č, ř
    r"|õ(?!e)|ã(?![oesm]|\b)"  # ő, ă: in Portuguese õe, ão, ãe
    r"|ç(?=[bcdfghjklmnpqrstvwxz])"  # ē
    r"|þ(?![aeiouyáéíóúýæöðrjv])|ý(?=[a-z]+[ýþð])",  # Turkish: in Icelandic þ begins a syllable
    re.IGNORECASE,
)
#: One in a hundred of MovieLens' titles with accents has such letters, and one in seven Hungarian ones.
_SHARE_OF_ANOTHER_LANGUAGE = 0.1


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
    #: How the decoder marks what is not in the encoding: see `undecodable`.
    errors: ClassVar[str] = _MARK_ERRORS

    def fits(self, text: str) -> bool:
        """Whether a decoded line was in this encoding.

        It was not if bytes could not be decoded, or if the line of a file in an encoding of eight bits is
        UTF-8, which such an encoding reads as other letters.
        """
        if text.isascii():
            return True
        if undecodable(text):
            return False
        content = text.encode(self.codec, "replace")
        return len(content) > len(text) or _decode(content) is None

    def repair(self, text: str) -> str:
        """Turn mangled text back; a line that was not mangled stays as it is."""
        for _ in range(self.layers):
            text = unmangled(text) or text
        return text


UTF_8 = Encoding("utf-8", "UTF-8")


def undecodable(text: str) -> bool:
    """Whether decoding left marks of bytes that are not in the encoding."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error(_MARK_ERRORS, _marked)


def named(name: str) -> Encoding:
    """The encoding that a person names.

    Raises:
        Fault: there is none of this name.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except (LookupError, ValueError) as error:
        raise Fault(
            f"there is no encoding {name!r}: name one of Python's text encodings, such as utf-8, cp1250,"
            " cp1251, koi8-r or gb18030"
        ) from error
    return Encoding(name, name)


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
    odd = sum(bool(_ODD_LETTERS.search(text) or _NOT_WESTERN.search(text)) for text in texts)
    if odd > _SHARE_OF_ANOTHER_LANGUAGE * len(texts):
        raise Fault(
            f"the encoding of {file} is not clear: it is not UTF-8, and read as Windows-1252 it does not look"
            " like text. Name it by --encoding: cp1250 or iso8859-2 for Central European languages, cp1251 or"
            " koi8-r for Cyrillic, cp1254 for Turkish, mac-roman or cp850 for an old Macintosh or MS-DOS,"
            " cp1252 if it is Western text after all. Or convert the file to UTF-8 first"
            " (iconv -f ENCODING -t UTF-8)"
        )
    windows = any(0x80 <= byte < 0xA0 for line in lines for byte in line)  # noqa: PLR2004
    return Encoding("cp1252", "Windows-1252" if windows else "Latin-1")
