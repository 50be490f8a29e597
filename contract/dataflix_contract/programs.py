"""Dataflix's programs: their names, how to find their files, and how to make a process end with its parent.

``pyproject.toml`` lists the programs, and the folders that each extra needs. As a program, this module prints
the names of the programs that an environment cannot run::

    python -m dataflix_contract.programs EXTRA...      # the extras that are installed

``scripts/envs`` removes these programs from an environment: they could not import their packages there.
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
    """Return the folders whose code the programs of these extras run.

    Args:
        extras: the names of the extras; an extra for one folder has the name of that folder.
        root: the folder of the checkout.
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
    """Return the function that each program starts, as ``module:function``, by the program's name."""
    return dict(_project(root)["scripts"])


def folder_of(target: str) -> str:
    """Return a program's folder: for a start at ``dataflix_backend.api_server:main`` it is ``backend``."""
    return target.partition(".")[0].removeprefix("dataflix_")


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def find_program(name: str, home: Path, path: str = "") -> str | None:
    """Return the program's file in an environment below ``home``, or else on ``path``; None if there is none.

    Args:
        name: the program's name, such as ``dataflix-train``.
        home: the folder that ``run.sh`` makes, which contains the folder ``envs``.
        path: further folders, separated as in ``$PATH``.
    """
    folders = [str(home / "envs" / environment / "bin") for environment in ENVIRONMENTS]
    return shutil.which(name, path=os.pathsep.join([*folders, path]))


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the thread that started it ends. Linux only.

    The signal is SIGKILL, so that this process has ended before another one starts the same work.

    Args:
        parent: the id of the expected parent; if that process has ended already, this one ends at once.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def exit_on_sigterm() -> None:
    """Have SIGTERM raise SystemExit, exit code 143, so that this program removes its temporary data."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def main(extras: Sequence[str]) -> None:
    """Print the names of the programs that cannot run with these extras alone."""
    installed = folders(extras)
    sys.stdout.writelines(
        f"{name}\n" for name, target in programs().items() if folder_of(target) not in installed
    )


if __name__ == "__main__":
    main(sys.argv[1:])
