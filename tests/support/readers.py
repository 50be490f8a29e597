"""Which settings does a program read, and which libraries does it import, in all modules that it imports?"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract import programs as contract_programs
from support.stack import ROOT

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/dataflix_*"))


def settings_read(entries: Iterable[Path]) -> set[str]:
    """The settings that the programs which start in these files can read."""
    read: set[str] = set()
    for path in _reached(entries):
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Attribute):
                read |= _derived().get(node.attr, frozenset()) | ({node.attr} & Settings.model_fields.keys())
    return read


def libraries_imported(entries: Iterable[Path]) -> set[str]:
    """The libraries that the programs which start in these files can import, by the names in the code."""
    names = {name.partition(".")[0] for path in _reached(entries) for name in _imported(_parsed(path))}
    return {name for name in names - sys.stdlib_module_names if not name.startswith("dataflix_")}


@functools.cache
def programs() -> dict[str, Path]:
    """The file that each program of ours starts in, by the program's name."""
    return {
        name: _modules()[target.partition(":")[0]] for name, target in contract_programs.programs().items()
    }


@functools.cache
def _modules() -> dict[str, Path]:
    """The file of every module of ours, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).glob("dataflix_*/**/*.py"):
            parts = path.relative_to(ROOT / package).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def _reached(entries: Iterable[Path]) -> set[Path]:
    """The entries, and whatever of ours they import.

    The contract's modules are left out: they define the settings, and the one library that not every program
    has (rich) is imported in the functions of those that have it.
    """
    seen: set[Path] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in seen and not path.is_relative_to(ROOT / "contract"):
            seen.add(path)
            waiting += [_modules()[name] for name in _imported(_parsed(path)) if name in _modules()]
    return seen


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@functools.cache
def _derived() -> dict[str, frozenset[str]]:
    """What each property and method of the settings is made of."""
    tree = _parsed(ROOT / "contract/dataflix_contract/settings.py")
    [settings] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    looked_at = {
        function.name: {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
        for function in settings.body
        if isinstance(function, ast.FunctionDef)
    }

    def fields(name: str) -> frozenset[str]:
        if name in looked_at:
            return frozenset().union(*map(fields, looked_at[name]))
        return frozenset({name} & Settings.model_fields.keys())

    return {name: fields(name) for name in looked_at}
