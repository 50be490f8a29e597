"""Folders that other accounts pass through, and that several starts share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_passable(folder: Path) -> None:
    """Make the folder; PostgreSQL's account must be able to pass whatever the umask is."""
    for part in reversed((folder, *folder.parents)):
        if not part.exists():
            part.mkdir(exist_ok=True)  # two starts at once may both find it missing
            part.chmod(0o755)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the file ``lock``, waiting for whoever has it: two starts at once install once."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
