"""Look for a marker in files, byte by byte."""

import os
import stat
from pathlib import Path


def files_with(folder: Path, marker: str) -> list[str]:
    """The files below a folder, which must exist, that hold the marker.

    A file that is removed meanwhile is passed over: ClickHouse removes a part minutes after it was merged
    into another one, which the search finds.
    """
    assert folder.is_dir(), folder
    needle = marker.encode()
    paths = (
        Path(parent, name) for parent, _, names in os.walk(folder, onerror=_unless_removed) for name in names
    )
    return [str(path) for path in paths if needle in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
    except FileNotFoundError:
        return b""


def _unless_removed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
