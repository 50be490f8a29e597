"""Look for a marker in files, byte by byte."""

from pathlib import Path


def files_with(folder: Path, marker: str) -> list[str]:
    """The files below a folder, which must exist, that hold the marker."""
    assert folder.is_dir(), folder
    needle = marker.encode()
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]
