"""Our programs: which there are, where they are, and processes that do not outlive the one that started them.

``pyproject.toml`` says which folders each extra is built on, and which programs it has::

    python -m dataflix_contract.programs EXTRA...      # print the programs that these extras do not have

``scripts/envs`` runs this to remove them from an environment: there they could not import what they need.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: The folder that everything is built on; it has no extra.
CONTRACT = "contract"
_OURS = re.compile(r"dataflix\[(.*)\]")
#: The environments that programs are looked for in, as ``bin/_exec`` does: ``scripts/envs`` makes them.
ENVIRONMENTS = ("services", "batch", "tests")
_PR_SET_PDEATHSIG = 1  # prctl(2)

# Looked up once, here: a child between fork and exec should do as little as possible.
_libc = ctypes.CDLL(None, use_errno=True)


def folders(extras: Iterable[str], root: Path = ROOT) -> set[str]:
    """The folders that programs of these extras run code of.

    Args:
        extras: by the names of their folders or, where one stands for several, by its own.
        root: the checkout.
    """
    named = _project(root)["optional-dependencies"]
    found: set[str] = set()
    waiting = [extra.replace("_", "-") for extra in extras]
    while waiting:
        extra = waiting.pop()
        found.add(extra.replace("-", "_"))
        for line in named[extra]:
            if ours := _OURS.fullmatch(line):
                waiting += ours[1].split(",")
    return {CONTRACT, *(name for name in found if (root / name).is_dir())}


def programs(root: Path = ROOT) -> dict[str, str]:
    """Where each program starts, as ``module:function``, by its name."""
    return dict(_project(root)["scripts"])


def folder_of(target: str) -> str:
    """The folder of a program that starts at ``dataflix_backend.api_server:main``: ``backend``."""
    return target.partition(".")[0].removeprefix("dataflix_")


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def find_program(name: str, home: Path, path: str = "") -> str | None:
    """The program's file in one of the environments below ``home``, or on ``path``; None: nowhere.

    Args:
        name: such as ``dataflix-train``.
        home: what ``run.sh`` makes, with the folder ``envs`` in it.
        path: further folders, as in ``$PATH``.
    """
    folders = [str(home / "envs" / environment / "bin") for environment in ENVIRONMENTS]
    return shutil.which(name, path=os.pathsep.join([*folders, path]))


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the thread that started it ends. Linux only.

    The signal is SIGKILL, so that the next process that does this work never meets this one still at it.

    Args:
        parent: the process that is expected to be the parent; if it is gone already, this process ends now.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def main(extras: Sequence[str]) -> None:
    """Print the programs that these extras do not have."""
    installed = folders(extras)
    sys.stdout.writelines(
        f"{name}\n" for name, target in programs().items() if folder_of(target) not in installed
    )


if __name__ == "__main__":
    main(sys.argv[1:])
