"""Why a message is refused: words for people and programs, never a value."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """Why the masker refuses a message."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_ENVELOPE = "not_an_envelope"
    UNKNOWN_TABLE = "unknown_table"
    UNKNOWN_OP = "unknown_op"
    MISSING_ROW = "missing_row"
    MISSING_COLUMN = "missing_column"
    WRONG_TYPE = "wrong_type"
    UNAVAILABLE_VALUE = "unavailable_value"
    NULL_KEY = "null_key"
    BAD_KEY = "bad_key"
    KEY_MISMATCH = "key_mismatch"
    BAD_FENCE = "bad_fence"


class RefusalError(Exception):
    """A message that must not be forwarded.

    Args:
        reason: the class of fault.
        detail: what is wrong where; made of names from the contract and of type
            names only, because it is written to the dead letters and the log.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
