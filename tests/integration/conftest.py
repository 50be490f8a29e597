"""Fixtures: a database of a test's own, which nothing captures; a champion in service."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from psycopg import sql

from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION
from dataflix_postgres.database import connect_admin, connect_owner
from dataflix_postgres.migrations import set_up
from dataflix_training.mlflow_run import Tracking
from support.champion import serve
from support.stack import Stack
from support.training import build_marts, train


@pytest.fixture
def unmigrated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings that name a database which does not exist yet; it is dropped at the end.

    Commands that a test starts find it too.
    """
    name = f"test_{secrets.token_hex(4)}"
    monkeypatch.setenv("DATAFLIX_POSTGRES_DB", name)
    own = settings.model_copy(update={"postgres_db": name})
    yield own
    with connect_admin(own) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def migrated(unmigrated: Settings) -> Settings:
    """Settings of a database with the tables and nothing in them."""
    set_up(unmigrated)
    return unmigrated


@pytest.fixture
def empty(migrated: Settings) -> Iterator[psycopg.Connection]:
    """The owner's connection to that database, in autocommit."""
    with connect_owner(migrated) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def tracking(settings: Settings) -> Tracking:
    return Tracking(settings)


@pytest.fixture
def champion(stack: Stack, settings: Settings, warehouse: Client, tracking: Tracking) -> int:
    """The version in service; trained if there is none, and served by every process."""
    build_marts(settings, warehouse)
    version = tracking.registry.aliases().get(CHAMPION) or train(stack, "test-in-service")["model_version"]
    serve(settings, tracking, version)
    return int(version)
