"""What ``pyproject.toml`` says of its extras: which folders each is built on, and which programs it has.

::

    python -m dataflix_contract.project EXTRA...      # print the programs that these extras do not have

``scripts/envs`` runs this to remove them from an environment: there they could not import what they need.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: The folder that everything is built on; it has no extra.
CONTRACT = "contract"
_OURS = re.compile(r"dataflix\[(.*)\]")


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


def main(extras: Sequence[str]) -> None:
    """Print the programs that these extras do not have."""
    installed = folders(extras)
    sys.stdout.writelines(
        f"{name}\n" for name, target in programs().items() if folder_of(target) not in installed
    )


if __name__ == "__main__":
    main(sys.argv[1:])
