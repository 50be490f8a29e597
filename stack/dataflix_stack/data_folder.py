"""Whose the data folder is: a stack works, and deletes, only in a folder of its own.

A stack that is wiped deletes folders with names such as ``postgres`` and ``backend``, which other people's
folders have too. So the first start leaves a mark, and only in a folder that it made or that was empty.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dataflix_contract.faults import Fault
from dataflix_stack.paths import Layout

MARK = ".dataflix-stack"
_MARK_TEXT = (
    "This folder belongs to a Dataflix stack, and ./stop.sh --wipe deletes what the stack keeps in it:\n"
    "keep no files of yours here.\n"
)
#: What a new file system has in its topmost folder.
_NOTHING = frozenset({"lost+found"})


def check(layout: Layout) -> None:
    """Refuse a data folder that is not a stack's, and has something in it.

    Raises:
        Fault: it is somebody else's, or this account may not look into it.
    """
    try:
        known = not layout.data.is_dir() or _is_marked(layout) or _is_empty(layout) or _is_older(layout)
    except OSError as fault:
        raise Fault(
            f"cannot look into the data folder {layout.data}: {fault.strerror}. Set DATAFLIX_DATA_DIR to a"
            " folder of this account's"
        ) from fault
    if not known:
        raise Fault(
            f"{layout.data} is not empty and not the data folder of a stack, and ./stop.sh --wipe would"
            " delete folders such as postgres and backend in there: set DATAFLIX_DATA_DIR to a folder that is"
            " empty or does not exist. Only if you have restored a stack's data to it:"
            f" touch {layout.data}/{MARK}"
        )


def refuse_others(layout: Layout, settings_file: Path) -> None:
    """Refuse to wipe what a stack of other settings has left in the folder, while these settings are there.

    Two settings files that name no ``DATAFLIX_DATA_DIR`` have the same folder.

    Raises:
        Fault: another stack was started last.
    """
    if not layout.owner.is_file():
        return
    last = Path(json.loads(layout.owner.read_text(encoding="utf-8"))["settings"])
    if last != settings_file and last.is_file():
        raise Fault(
            f"{layout.data} holds the data of the stack with the settings {last}, and nothing of"
            f" {settings_file}: nothing is deleted. ./stop.sh --env-file {last} --wipe deletes it"
        )


def claim(layout: Layout) -> None:
    """Mark the data folder, which must exist, as the stack's own.

    Raises:
        Fault: it is somebody else's.
    """
    check(layout)
    if not _is_marked(layout):
        (layout.data / MARK).write_text(_MARK_TEXT, encoding="utf-8")


def wipe(layout: Layout) -> None:
    """Delete what a stopped stack made in its data folder, and the folder if nothing else is in it.

    Raises:
        Fault: the folder is somebody else's.
    """
    check(layout)
    if not layout.data.is_dir():
        return
    claim(layout)  # of an older release: what a wipe that is interrupted leaves can be wiped later
    for part in layout.parts:
        if part.exists():
            shutil.rmtree(part)
    (layout.data / MARK).unlink()
    if not any(layout.data.iterdir()):
        layout.data.rmdir()


def _is_marked(layout: Layout) -> bool:
    return (layout.data / MARK).is_file()


def _is_empty(layout: Layout) -> bool:
    return all(entry.name in _NOTHING for entry in layout.data.iterdir())


def _is_older(layout: Layout) -> bool:
    """Whether a start before there were marks has been here: its lock's owner, or our servers' data."""
    if layout.owner.is_file():
        return True
    return (layout.postgres / "PG_VERSION").is_file() and (layout.kafka / "formatted").is_file()
