"""Which packages import which: nobody needs a program of another, nor a library that its extra lacks."""

import ast
import functools
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dataflix_contract import programs as contract_programs
from support.readers import PACKAGES, libraries_imported, programs
from support.stack import ROOT

CLIENTS = ROOT / "clients" / "dataflix_clients"
#: The library of each server, and the modules that need no other.
LIBRARIES = {"psycopg", "confluent_kafka", "clickhouse_connect", "httpx"}
ONE_SERVER = {
    "postgres": {"psycopg"},
    "source_facts": {"psycopg"},
    "replication_slot": {"psycopg"},
    "preflight": {"psycopg"},
    "fence": {"psycopg"},
    "orphans": {"psycopg"},
    "kafka": {"confluent_kafka"},
    "clickhouse": {"clickhouse_connect"},
    "clickhouse_http": {"httpx"},
    "connect": {"httpx"},
    "airflow": {"httpx"},
    "mlflow": {"httpx"},
    "masker": {"httpx"},
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
    return names


def libraries(module: str, seen: set[str]) -> set[str]:
    """The servers' libraries that a module of the clients imports, others of them included."""
    seen.add(module)
    names = imported(CLIENTS / f"{module}.py")
    ours = {name.split(".")[1] for name in names if name.startswith("dataflix_clients.")}
    found = {name.split(".")[0] for name in names} & LIBRARIES
    for other in ours - seen:
        if (CLIENTS / f"{other}.py").is_file():
            found |= libraries(other, seen)
    return found


@pytest.mark.parametrize("leaf", ["checker", "connectors"])
def test_nobody_imports_a_package_of_programs(leaf: str) -> None:
    importers = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        if package != leaf
        for path in (ROOT / package).glob("dataflix_*/**/*.py")
        if any(name.split(".")[0] == f"dataflix_{leaf}" for name in imported(path))
    }
    assert not importers


@pytest.mark.parametrize(("module", "wanted"), ONE_SERVER.items(), ids=list(ONE_SERVER))
def test_a_client_of_one_server_needs_no_library_of_another(module: str, wanted: set[str]) -> None:
    assert libraries(module, set()) == wanted


#: Programs whose libraries are installed beside the tests. Each image has the extra of its program's folder.
IN_SERVICES = {
    name: contract_programs.folder_of(target)
    for name, target in contract_programs.programs().items()
    if contract_programs.folder_of(target) in contract_programs.folders(["services"])
}
#: Training imports Spark only where it is asked for; then the image has its extra too.
ONLY_IF_ASKED = {"training": ["spark"]}


@functools.cache
def project() -> dict[str, list[str]]:
    """The requirements of each extra, and under an empty name those of every program."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": found["dependencies"], **found["optional-dependencies"]}


def installed_with(extras: Iterable[str]) -> set[str]:
    """The distributions that pip installs with these extras."""
    waiting = [Requirement(line) for extra in ("", *extras) for line in project()[extra]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        name, more = canonicalize_name(one.name), frozenset(one.extras)
        if (name, more) in seen:
            continue
        seen.add((name, more))
        if name == "dataflix":
            waiting += [Requirement(line) for extra in more for line in project()[extra]]
            continue
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        waiting += [
            each
            for each in needed
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *more))
        ]
    return {name for name, _ in seen}


@pytest.mark.parametrize(("program", "folder"), IN_SERVICES.items(), ids=list(IN_SERVICES))
def test_the_extra_of_a_program_has_all_libraries_that_it_imports(program: str, folder: str) -> None:
    extras = [folder.replace("_", "-"), *ONLY_IF_ASKED.get(folder, ())]
    there, distributions = installed_with(extras), packages_distributions()
    imported = libraries_imported([programs()[program]])
    assert imported
    missing = {
        library
        for library in imported
        if there.isdisjoint(map(canonicalize_name, distributions.get(library, [library])))
    }
    assert not missing
