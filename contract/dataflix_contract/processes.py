"""Processes that do not outlive the one that started them, even if that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)

# Looked up once, here: a child between fork and exec should do as little as possible.
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the thread that started it ends. Linux only.

    The signal is SIGKILL, so that the next process that does this work never meets this one still at it.

    Args:
        parent: the process that is expected to be the parent; if it is gone already, this process ends now.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
