"""Wait for something outside this process: ask again and again until it is true, or the time is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def poll(ask: Callable[[], T], seconds: float, every: float) -> T:
    """Ask until the answer is true, and return it; once the time is over, the last answer.

    Args:
        ask: gives an answer; its exceptions are not caught.
        seconds: how long to ask.
        every: seconds between two calls.
    """
    asking = Retrying(
        retry=retry_if_result(lambda answer: not answer),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every),
        retry_error_callback=_last_answer,
    )
    return asking(ask)


def _last_answer(asked: RetryCallState) -> Any:
    return asked.outcome.result() if asked.outcome else None
