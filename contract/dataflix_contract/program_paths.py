"""Where our programs are: each in the environment that has what it needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: The environments that programs are looked for in, as ``bin/_exec`` does: ``scripts/envs`` makes them.
ENVIRONMENTS = ("services", "batch", "tests")


def find_program(name: str, home: Path, path: str = "") -> str | None:
    """The program's file in one of the environments below ``home``, or on ``path``; None: nowhere.

    Args:
        name: such as ``dataflix-train``.
        home: what ``run.sh`` makes, with the folder ``envs`` in it.
        path: further folders, as in ``$PATH``.
    """
    folders = [str(home / "envs" / environment / "bin") for environment in ENVIRONMENTS]
    return shutil.which(name, path=os.pathsep.join([*folders, path]))
