"""When two addresses, or two names, are the same: the normal form that pseudonyms are made of.

For addresses PostgreSQL has the same rule, as the function ``email_identity`` of the unique index
``users_email_key``: who is one user there has one pseudonym here, and who is two users has two. A test
compares both on every code point. docs/decisions/identities.md says why the rule is what it is.
"""

from __future__ import annotations

import functools
import unicodedata

#: Cut off at both ends: white space, control characters, and the marks without width that copying
#: from a document, a web page or an address book brings along.
BLANK = "".join(
    chr(code)
    for first, last in (
        (0x01, 0x20),
        (0x7F, 0xA0),
        (0xAD, 0xAD),
        (0x061C, 0x061C),
        (0x1680, 0x1680),
        (0x180E, 0x180E),
        (0x2000, 0x200F),
        (0x2028, 0x202F),
        (0x205F, 0x206F),
        (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
)

_ACE_PREFIX = "xn--"
_MOST_LABEL_CHARACTERS = 63
_IDEOGRAPHIC_FULL_STOP = "\u3002"


def normal_email(address: str) -> str:
    """An address in the form that is equal for all spellings of one mailbox.

    Without blanks around it, without regard to case (Unicode's simple case folding, which leaves ß and
    ligatures alone), composed (NFC); the domain in its compatible form (NFKC), with ``xn--`` labels decoded.
    """
    trimmed = _trimmed(address)
    if trimmed.isascii() and _ACE_PREFIX not in (lower := trimmed.lower()):
        return lower
    local, at, domain = trimmed.rpartition("@")
    if not at:
        return _composed(trimmed)
    return f"{_composed(local)}@{_normal_domain(domain)}"


def normal_name(name: str) -> str:
    """A name without blanks around it, composed (NFC); its case is kept."""
    return unicodedata.normalize("NFC", _trimmed(name))


def _trimmed(text: str) -> str:
    # of the blanks, only the space is printable: the usual text is done without a search through all
    return text.strip(" " if text.isprintable() else BLANK)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", _folded(unicodedata.normalize("NFD", text)))


def _normal_domain(domain: str) -> str:
    plain = _folded(unicodedata.normalize("NFKD", domain)).replace(_IDEOGRAPHIC_FULL_STOP, ".")
    if _ACE_PREFIX in plain:
        decoded = ".".join(map(_decoded, plain.split(".")))
        plain = _folded(unicodedata.normalize("NFKD", decoded))
    return unicodedata.normalize("NFKC", plain)


def _decoded(label: str) -> str:
    """An ``xn--`` label (RFC 3492) as the text that it stands for; any other label as it is."""
    if not (label.startswith(_ACE_PREFIX) and label.isascii() and len(label) <= _MOST_LABEL_CHARACTERS):
        return label
    try:
        text = label.removeprefix(_ACE_PREFIX).encode("ascii").decode("punycode")
        text.encode()  # a surrogate is no character
    except UnicodeError:
        return label
    return label if text.isascii() else text


def _folded(text: str) -> str:
    return "".join(map(fold, text))


@functools.lru_cache(4096)
def fold(character: str) -> str:
    """The character without its case: Unicode's simple case folding, one character for one."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character
