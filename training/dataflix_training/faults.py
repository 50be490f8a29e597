"""Expected faults: one line for the person who can mend it, and an exit code."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - an expected fault is no programming error
    """Something is not as it must be; the message says what to do."""


class Terminated(BaseException):
    """The program was asked to stop (SIGTERM); no ``except Exception`` holds it up."""
