"""The code that a server runs: what has to change so that a start replaces a running server."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path


def digest_of(root: Path, package: str) -> str:
    """Changes when a file of the package does, or of those of ours that it is built on.

    Args:
        root: the checkout.
        package: a folder in it; empty where no code of ours is run, and then so is the digest.
    """
    if not package:
        return ""
    digest = hashlib.sha256()
    for folder in (root / package, *_built_on(root / package)):
        for path in _files(folder):
            digest.update(f"{path.relative_to(root.resolve())}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _built_on(package: Path) -> Iterator[Path]:
    """Our packages that this one names as sources: all of them, as its environment has them."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    for source in project.get("tool", {}).get("uv", {}).get("sources", {}).values():
        yield package / source["path"]


def _files(folder: Path) -> Iterator[Path]:
    """The package's files in a fixed order, without what Python makes of them."""
    for path in sorted(folder.resolve().rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path
