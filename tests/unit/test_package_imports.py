"""Which packages of ours import which: nobody needs a program of another, nor a library of another server."""

import ast
from pathlib import Path

import pytest

from support.readers import PACKAGES
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
