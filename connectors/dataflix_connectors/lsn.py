"""WAL positions: PostgreSQL writes them ``16/B3748``, Debezium and ``_version`` as one integer."""

import re

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_LOW_BITS = 32


def parse_lsn(text: str) -> int:
    """The integer of a WAL position such as ``0/16B3748``.

    Raises:
        ValueError: the text is no WAL position.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no WAL position: two hexadecimal numbers with a slash are")
    high, low = match.groups()
    return (int(high, 16) << _LOW_BITS) | int(low, 16)


def format_lsn(position: int) -> str:
    """The text that PostgreSQL uses for a WAL position.

    Raises:
        ValueError: the number does not fit into 64 bits.
    """
    if not 0 <= position < 1 << 64:
        raise ValueError(f"{position} is no WAL position: it does not fit into 64 bits")
    return f"{position >> _LOW_BITS:X}/{position & 0xFFFFFFFF:X}"
