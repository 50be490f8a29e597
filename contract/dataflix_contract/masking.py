"""Mask personal data by keyed pseudonyms. No other code does this.

The stream, the dead letters and the daily reconciliation all use this module, so that each of them gives the
same row the same pseudonyms.

A pseudonym is HMAC-SHA256 (RFC 2104, FIPS 180-4) over the column's class and the value
in its normal form (`dataflix_contract.identity`), cut to 128 bits. The class is part of
the message, so that a name
and an address with the same text do not get the same token; the key's id is part
of the token, so that keys can be rotated and a reader can tell which key was used.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable

from dataflix_contract.identity import normal_email, normal_name
from dataflix_contract.schema import PiiClass

#: Domain of masked addresses: ``.invalid`` never resolves (RFC 2606).
MASKED_EMAIL_DOMAIN = "masked.invalid"

#: The least length of a key; ``secrets.token_hex(32)`` makes a good one.
MIN_KEY_CHARACTERS = 16

_TOKEN_HEX_DIGITS = 32
_TOKEN_PATTERN = f"[A-Za-z0-9]+-[0-9a-f]{{{_TOKEN_HEX_DIGITS}}}"

#: The form of the pseudonyms of each class, as a regular expression (RE2) for the whole value.
PSEUDONYM_PATTERNS = {
    PiiClass.NAME: f"name-{_TOKEN_PATTERN}",
    PiiClass.EMAIL: f"mail-{_TOKEN_PATTERN}@{MASKED_EMAIL_DOMAIN.replace('.', '[.]')}",
}

#: A function that masks a text; it gives None for a blank address.
Mask = Callable[[str], str | None]

#: How many pseudonyms of each class are cached: an update contains each value twice.
_CACHED_VALUES = 16_384
#: Longer values are not cached, so that the memory stays bounded.
_CACHED_CHARACTERS = 256


def _remembering(mask: Mask) -> Mask:
    """``mask`` with a bounded cache in this process."""
    cached = functools.lru_cache(_CACHED_VALUES)(mask)

    def remembered(value: str) -> str | None:
        return cached(value) if len(value) <= _CACHED_CHARACTERS else mask(value)

    return remembered


class Masking:
    """Gives the function that masks each class of personal data, with one key.

    Args:
        key: the secret, as UTF-8 text of at least 16 characters.
        key_id: short public name of the key, part of every token (letters and digits).
    """

    def __init__(self, key: str, key_id: str) -> None:
        if len(key) < MIN_KEY_CHARACTERS:
            raise ValueError(f"the masking key needs at least {MIN_KEY_CHARACTERS} characters")
        if not key_id.isalnum():
            raise ValueError("the masking key's id may hold letters and digits only")
        # Copying an HMAC that has taken its key in is faster than making one.
        self._keyed = hmac.new(key.encode(), digestmod="sha256")
        self.key_id = key_id
        self._plain_by_class: dict[PiiClass, Mask] = {
            PiiClass.NAME: self.name,
            PiiClass.EMAIL: self.email,
        }
        self._mask_by_class = {pii: _remembering(mask) for pii, mask in self._plain_by_class.items()}

    def name(self, value: str) -> str:
        """The pseudonym of a person's name, such as ``name-k1-0f…`` (32 hex digits)."""
        return f"name-{self.key_id}-{self._token('name', normal_name(value))}"

    def email(self, value: str) -> str | None:
        """The pseudonym of an address, such as ``mail-k1-0f…@masked.invalid``; None: the address is blank."""
        normal = normal_email(value)
        if not normal:
            return None
        token = self._token("email", normal)
        return f"mail-{self.key_id}-{token}@{MASKED_EMAIL_DOMAIN}"

    def fingerprint(self, data: bytes) -> str:
        """A keyed fingerprint, which is equal for equal bytes and reveals nothing else about them."""
        return self._digest(b"fingerprint\0" + data)

    def function(self, pii: PiiClass, *, remember: bool = True) -> Mask | None:
        """The function that masks texts of class ``pii``; None: values of this class are not masked.

        Args:
            pii: the class.
            remember: whether to cache pseudonyms. That saves time if values are repeated, as in a stream of
                changes, and costs half as much again if each comes only once.
        """
        return (self._mask_by_class if remember else self._plain_by_class).get(pii)

    def _token(self, purpose: str, value: str) -> str:
        return self._digest(f"{purpose}\0{value}".encode("utf-8", "surrogatepass"))

    def _digest(self, message: bytes) -> str:
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.hexdigest()[:_TOKEN_HEX_DIGITS]
