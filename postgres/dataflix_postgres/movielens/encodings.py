"""Find the encoding of a file's text from its bytes; it is the same for the whole file.

The encoding is UTF-8 if at least half of the lines with accents are valid UTF-8. Otherwise it is
Windows-1252, which includes Latin-1, if the text then looks like a Western language. UTF-16 is recognised by
its byte order mark or its zero bytes. Text that was UTF-8, was read as Windows-1252 and was written as UTF-8
again ("MisÃ©rables") is repaired. Any other encoding must be named by the user.
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import ClassVar

from dataflix_contract.faults import Fault

#: The bytes 0x80 to 0x9F are control characters in Latin-1, and letters and quotes in Windows-1252. Mangled
#: text may come from either of them, so both are repaired.
_WINDOWS_1252 = {
    ord(bytes([byte]).decode("cp1252")): byte
    for byte in range(0x80, 0xA0)
    if byte not in {0x81, 0x8D, 0x8F, 0x90, 0x9D}
}
_MOST_LAYERS = 3
_LINES_KEPT = 5_000
_LONGEST_KEPT = 4_096
#: Stands for bytes that the encoding does not have; no file's text can contain it.
_MARK = "\udcff"
#: The name of the decoders' error handler that inserts the mark, in any encoding.
_MARK_ERRORS = "dataflix-mark"
#: Characters that appear between small letters if text of MS-DOS or an old Macintosh is read as
#: Windows-1252.
_ODD_LETTERS = re.compile(
    r"[a-z][^\x00-\x7f\xa0\xad\xb7\xdf-\xf6\xf8-\xff\u0153\u0161\u017e\u2010-\u2019][a-z]"
)
#: Sequences that appear if text in another encoding is read as Windows-1252, and that are very rare in
#: Western languages.
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
#: If a greater share of lines has such sequences, the text is not Windows-1252. Of MovieLens' titles with
#: accents one in a hundred has them; of Hungarian titles, one in seven.
_SHARE_OF_ANOTHER_LANGUAGE = 0.1


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file is decoded.

    Attributes:
        codec: Python's name of the encoding.
        name: its name in messages.
        layers: how many times the text has been mangled, and must be repaired.
    """

    codec: str
    name: str
    layers: int = 0
    #: The decoder's error handler, which marks bytes that the encoding does not have: see `undecodable`.
    errors: ClassVar[str] = _MARK_ERRORS

    def fits(self, text: str) -> bool:
        """Whether a decoded line was really in this encoding.

        It was not if some bytes could not be decoded, or if the encoding has eight bits and the line's bytes
        are valid UTF-8, which such an encoding reads as other letters.
        """
        if text.isascii():
            return True
        if undecodable(text):
            return False
        content = text.encode(self.codec, "replace")
        return len(content) > len(text) or _decode(content) is None

    def repair(self, text: str) -> str:
        """Repair mangled text; a line that was not mangled stays as it is."""
        for _ in range(self.layers):
            text = unmangled(text) or text
        return text


UTF_8 = Encoding("utf-8", "UTF-8")


def undecodable(text: str) -> bool:
    """Whether a decoded text has marks of bytes that the encoding does not have."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error(_MARK_ERRORS, _marked)


def named(name: str) -> Encoding:
    """The encoding with the name that the user gave.

    Raises:
        Fault: there is no encoding of this name.
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
    """The text as it was before its UTF-8 was read as Windows-1252 or Latin-1; None: it was not mangled."""
    try:
        before = text.translate(_WINDOWS_1252).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    return before if before != text else None


class EncodingFinder:
    """Finds a file's encoding from its bytes, which are given block by block.

    Args:
        holds_text: whether there are words in the file. If there are only numbers, a byte that is not ASCII
            is an error of its line, and does not show another encoding.
    """

    def __init__(self, *, holds_text: bool) -> None:
        self._holds_text = holds_text
        self._start = b""
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
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
        """The encoding of all blocks so far.

        Raises:
            Fault: it cannot be found from the bytes.
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
    """Recognise UTF-16 without a byte order mark: in Western text every second byte is zero."""
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
