"""Fixtures: a database of a test's own on the stack's PostgreSQL, which nothing captures."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from dataflix_contract import Settings
from dataflix_postgres.database import connect_admin, connect_owner
from dataflix_postgres.migrate import set_up


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
