"""Keeps a library that retries fifty times a second from filling the log."""

from __future__ import annotations

import logging
import time

#: The same message of the same logger is written once in so many seconds.
EVERY_SECONDS = 10.0


class OncePerInterval(logging.Filter):
    """Drops repetitions of a library's warning or error within an interval."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING or record.name.startswith(__package__ or ""):
            return True
        # The template, not the text: addresses and ids in it change with each attempt.
        key = (record.name, str(record.msg)[:40])
        now = time.monotonic()
        if now - self._last.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
            return False
        self._last[key] = now
        return True


def tame_libraries() -> None:
    """Write what goes wrong in the libraries, once per interval, and little of what goes well."""
    for name in ("faust", "mode", "aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerInterval())
