"""Where the programs of the packages are: each in the environment of its own package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find_program(name: str, home: Path, path: str = "") -> str | None:
    """The program's file in one of the environments below ``home``, or on ``path``; None: nowhere.

    The environment of the tests has every program too, with other versions of what it is built
    on: it is the last one to be asked.

    Args:
        name: such as ``dataflix-train``.
        home: what ``run.sh`` makes, with the folder ``envs`` in it.
        path: further folders, as in ``$PATH``.
    """
    folders = sorted(home.glob("envs/*/bin"), key=lambda folder: (folder.parent.name == "tests", folder))
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), path]))
