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

    @property
    def cure(self) -> str:
        """What to do about a message that is refused for this reason."""
        return _CURES.get(self, _BROKEN_MESSAGE)


_BROKEN_MESSAGE = (
    "not written by our connector: find out who else writes to the raw topic; "
    "dataflix-reconcile repairs the row if it is one of ours"
)
_CURES = {
    Reason.TOO_LARGE: "raise DATAFLIX_MASKER_MAX_BYTES, run ./run.sh, then replay",
    Reason.MISSING_COLUMN: (
        "was the column renamed, dropped or made a generated one? Bring it back, or take it out of "
        "tables.toml and replay. A message from before the column was added lacks it too. In each case "
        "dataflix-reconcile loads the row from the source"
    ),
    Reason.WRONG_TYPE: (
        "was the column's type changed? dataflix-connector preflight names the difference: change it "
        "back, or change tables.toml and replay; dataflix-reconcile loads the row once they agree"
    ),
    Reason.UNAVAILABLE_VALUE: (
        "ALTER TABLE ... REPLICA IDENTITY FULL, so that it does not happen again; "
        "dataflix-reconcile loads the row from the source"
    ),
}


def cure(reason: str) -> str:
    """What to do about a letter with this reason, which an older or newer release may have given it."""
    return Reason(reason).cure if reason in set(Reason) else _BROKEN_MESSAGE


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
