"""The exception that a person is meant to read: programs print its message, and no traceback."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - a fault of the surroundings, and no error in the program
    """Something outside of the program is not as it must be; the message says what, and what to do."""
