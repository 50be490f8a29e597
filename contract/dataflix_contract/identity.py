"""The normal forms of e-mail addresses and names: equal ones get the same pseudonym.

PostgreSQL has the same rule for addresses, in the function ``email_identity`` of the unique index
``users_email_key``. So two spellings of an address that belong to one user there have one pseudonym here. A
test compares both for every code point. docs/decisions/identities.md explains the rule.
"""

from __future__ import annotations

import functools
import unicodedata

#: Characters that are cut off at both ends: white space, control characters, and invisible marks that come
#: with text copied from a document, a web page or an address book.
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
    """The normal form of an address, which is equal for all spellings of one mailbox.

    It has no blanks around it and no upper case (by Unicode's simple case folding, which keeps ß and
    ligatures), and is composed (NFC). The domain is in its compatible form (NFKC), with decoded ``xn--``
    labels.
    """
    trimmed = _trimmed(address)
    if trimmed.isascii() and _ACE_PREFIX not in (lower := trimmed.lower()):
        return lower
    local, at, domain = trimmed.rpartition("@")
    if not at:
        return _composed(trimmed)
    return f"{_composed(local)}@{_normal_domain(domain)}"


def normal_name(name: str) -> str:
    """The normal form of a name: without blanks around it, and composed (NFC). Upper case is kept."""
    return unicodedata.normalize("NFC", _trimmed(name))


def _trimmed(text: str) -> str:
    # only the space is a printable blank, so that the usual text needs no search for all blanks
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
    """Decode an ``xn--`` label (RFC 3492); keep any other label."""
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
    """Unicode's simple case folding of a character, which gives one character."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character
