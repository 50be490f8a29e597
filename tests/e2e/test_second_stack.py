"""A second stack beside the one that all tests share: the stream alone, from a copy of this checkout.

In the end another table is added to it, which takes one contract entry, one migration and one dbt model: they
are in ``watchlist/`` beside this file; docs/operations.md sends its readers there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clickhouse import warehouse as warehouse_owner
from dataflix_clients import clickhouse, postgres
from dataflix_contract import Settings, load_settings
from dataflix_dbt.project import dbt_environment
from dataflix_stack import paths
from support.stack import ROOT, Stack, running_stack
from support.waiting import wait_until

pytestmark = pytest.mark.disruptive

CHANGE = Path(__file__).parent / "watchlist"
SECONDS = 120
USER, MOVIE, ADVISER = 1, 2, "Grandma Quillfeather"
#: Unit tests that hold the parts of the repository to the contract.
RULES = (
    "test_contract_schema.py",
    "test_dbt_project.py",
    "test_postgres_migrations.py",
    "test_connectors_*.py",
    "test_kubernetes.py",
)


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """The checkout's files in a folder of their own, with the servers that are installed already."""
    subprocess.run(["bin/dataflix-stack", "install"], cwd=ROOT, check=True)
    servers = paths.servers()
    # Not pytest's tmp_path: its folders are closed to the user that PostgreSQL runs as under root.
    root = Path(tempfile.mkdtemp(prefix="dataflix-copy-"))
    root.chmod(0o755)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(lambda name: os.path.lexists(ROOT / name), listed.stdout.strip("\0").split("\0")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    (root / ".dataflix").mkdir()
    (root / ".dataflix" / "servers").symlink_to(servers)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATAFLIX_HOME", str(root / ".dataflix"))
        yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def other(copy: Path) -> Iterator[Stack]:
    """The second stack."""
    with running_stack(root=copy, profile="core", masker_workers="2") as other:
        yield other


def test_two_stacks_run_side_by_side(other: Stack, settings: Settings) -> None:
    assert {one["state"] for one in other.status()["services"]} == {"ready"}
    with _connections(settings) as (_, warehouse), _connections(other.settings) as (there, elsewhere):
        there.execute("INSERT INTO users (user_id, name) VALUES (70000000, 'Neighbour')")
        wait_until(lambda: _in_warehouse(elsewhere, 70000000), "the row is in its own warehouse")
        assert not _in_warehouse(warehouse, 70000000)
    other.run("./check_all_works.py", "--no-batch", "--json")


def test_data_survives_a_stop_and_a_start(other: Stack) -> None:
    with _connections(other.settings) as (source, warehouse):
        source.execute("INSERT INTO users (user_id, name) VALUES (60000000, 'Survivor')")
        wait_until(lambda: _in_warehouse(warehouse, 60000000), "the row is in the warehouse")
    other.down()
    assert {one["state"] for one in other.status()["services"]} == {"stopped"}
    other.up()
    with _connections(other.settings) as (source, warehouse):
        assert _in_warehouse(warehouse, 60000000)
        source.execute("DELETE FROM users WHERE user_id = 60000000")
        wait_until(lambda: not _in_warehouse(warehouse, 60000000), "the deletion is in the warehouse")


@contextmanager
def _connections(settings: Settings) -> Iterator[tuple[psycopg.Connection, Client]]:
    """Connections of this test's own: the stack is stopped in between."""
    with postgres.connect(settings, settings.postgres_owner) as source:
        yield source, clickhouse.connect(settings, settings.clickhouse_reader)


def _in_warehouse(warehouse: Client, user_id: int) -> bool:
    query = "SELECT count() FROM raw.users FINAL WHERE user_id = {id:Int64} AND NOT _deleted"
    return bool(int(str(warehouse.command(query, parameters={"id": user_id}))))


def add_the_table(root: Path) -> dict[str, int]:
    """Make the change; the lines that it adds, by kind."""
    package = root / "postgres" / "dataflix_postgres" / "migrations"
    number = len(list(package.glob("*.sql"))) + 1
    staging = root / "dbt" / "project" / "models" / "staging"
    places = {
        "contract.toml": root / "contract" / "dataflix_contract" / "tables.toml",
        "migration.sql": package / f"{number:04}_watchlist.sql",
        "stg_watchlist.sql": staging / "stg_watchlist.sql",
        "stg_watchlist.yml": staging / "stg_watchlist.yml",
    }
    assert {path.name for path in CHANGE.iterdir()} == places.keys()
    for name, place in places.items():
        with place.open("a", encoding="utf-8") as file:
            file.write((CHANGE / name).read_text(encoding="utf-8"))
    return {name: len((CHANGE / name).read_text(encoding="utf-8").splitlines()) for name in places}


def test_another_table_takes_an_entry_a_migration_and_a_model(
    copy: Path, other: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(other.env_file))
    lines = add_the_table(copy)
    other.up()
    settings = load_settings()
    with _connections(settings) as (source, warehouse):
        it_streams(source, warehouse)
        it_is_reconciled(other, settings, warehouse)
        it_is_modelled(copy, settings, warehouse)
    print("lines added:", lines)  # noqa: T201 - the figure of docs/operations.md
    assert f"{sum(lines.values())} lines" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def it_streams(source: psycopg.Connection, warehouse: Client) -> None:
    """An insert, an update and a delete arrive, masked."""

    def landed() -> list[tuple[object, ...]]:
        found = warehouse.query(
            "SELECT user_id, movie_id, recommended_by FROM raw.masked_watchlist ORDER BY movie_id"
        )
        return [tuple(row) for row in found.result_rows]

    def advised_by(person: str | None) -> None:
        source.execute(
            "INSERT INTO watchlist (user_id, movie_id, recommended_by)"
            " VALUES (%s, %s, %s)"
            " ON CONFLICT (user_id, movie_id) DO UPDATE SET recommended_by = EXCLUDED.recommended_by",
            [USER, MOVIE, person],
        )

    advised_by(ADVISER)
    [[user, movie, pseudonym]] = wait_until(landed, "the row has arrived", SECONDS)
    assert (user, movie) == (USER, MOVIE)
    assert str(pseudonym).startswith("name-k1-")
    advised_by(None)
    wait_until(lambda: landed() == [(user, movie, None)], "the update has arrived", SECONDS)
    source.execute("DELETE FROM watchlist")
    wait_until(lambda: not landed(), "the deletion has arrived", SECONDS)
    advised_by(ADVISER)
    wait_until(lambda: landed() == [(user, movie, pseudonym)], "the row has come back", SECONDS)
    everything = warehouse.query("SELECT * FROM raw.watchlist").result_rows
    assert ADVISER not in repr(everything)


def it_is_reconciled(stack: Stack, settings: Settings, warehouse: Client) -> None:
    """A ghost is found and removed; the row that is right stays."""
    owner = warehouse_owner.connect(settings)
    owner.command(
        "INSERT INTO raw.watchlist (user_id, movie_id, added_at, _version, _op)"
        " VALUES (1, 3, now64(6), 1, 'c')"
    )
    owner.close()
    stack.run("scripts/envs", "services")
    told = stack.run("bin/dataflix-reconcile", "--json", "watchlist").stdout
    report = json.loads(told)
    assert (report["rows"], report["missing"], report["different"], report["ghosts"]) == (1, 0, 0, 1)
    assert warehouse.command("SELECT count() FROM raw.masked_watchlist") == 1


def it_is_modelled(root: Path, settings: Settings, warehouse: Client) -> None:
    """dbt builds and tests the model."""
    subprocess.run(
        [root / ".dataflix/envs/services/bin/dbt", "build", "--select", "stg_watchlist"],
        cwd=root / "dbt" / "project",
        env=os.environ | dbt_environment(settings) | {"DBT_PROFILES_DIR": str(root / "dbt" / "project")},
        check=True,
    )
    [row] = warehouse.query("SELECT * FROM analytics_staging.stg_watchlist").named_results()
    assert (row["user_id"], row["movie_id"]) == (USER, MOVIE)
    it_keeps_the_rules(root)


def it_keeps_the_rules(root: Path) -> None:
    """What is generated is printed again; then the repository's own tests find nothing missing."""
    packages = [str(path.parent) for path in root.glob("*/dataflix_*")]
    ours = Path(sys.executable).parents[3]  # has the environment of the tests
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(packages), "DATAFLIX_HOME": str(ours)}
    subprocess.run(["scripts/generate"], cwd=root, env=surroundings, check=True)
    rules = [path for rule in RULES for path in (root / "tests" / "unit").glob(rule)]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "not valid and not misspelt and not drift", *rules],
        cwd=root,
        env=surroundings,
        check=True,
    )
