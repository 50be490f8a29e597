"""The code that a server runs: what has to change so that a start replaces a running server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dataflix_contract.project import folders


def digest_of(root: Path, package: str) -> str:
    """Changes when a file of the package does, or of those of ours that it is built on, or a lock.

    Args:
        root: the checkout.
        package: a folder in it; empty where no code of ours is run, and then so is the digest.
    """
    if not package:
        return ""
    digest = hashlib.sha256()
    sources = (path for folder in sorted(folders([package], root)) for path in _files(root / folder))
    for path in (*sources, *sorted(root.glob("requirements*.lock"))):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The package's files in a fixed order, without what Python makes of them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path
