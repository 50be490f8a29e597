"""Wait for a condition, never for a number of seconds."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = 120.0, every: float = 0.1) -> T:
    """Return the condition's first true value.

    Raises:
        AssertionError: it did not become true in time; the message says what and how it stood.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what} (last: {value!r})"
        time.sleep(every)
    return value
