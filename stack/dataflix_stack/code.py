"""The code that a server runs: what has to change so that a start replaces a running server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path


def digest_of(root: Path, packages: Sequence[str]) -> str:
    """Changes when a file of one of the packages does; empty where no code of ours is run.

    Args:
        root: the checkout.
        packages: folders in it.
    """
    if not packages:
        return ""
    digest = hashlib.sha256()
    for path in (path for package in packages for path in _files(root / package)):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The package's files in a fixed order, without what Python makes of them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path
