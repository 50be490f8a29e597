"""Fixtures: one running stack for the whole session, and connections to its servers."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import settings as hypothesis_settings

from dataflix_clients import clickhouse, postgres
from dataflix_contract import Settings
from support.stack import ROOT, Stack, running_stack

# A deadline of 200 ms for an example would fail where the machine has other things to do.
hypothesis_settings.register_profile("dataflix", deadline=None)
hypothesis_settings.load_profile("dataflix")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What takes too long for every day: the containers, and 60 seconds of the test of killed API workers."""
    parser.addoption(
        "--containers", action="store_true", help="run the tests that need a container engine too"
    )
    parser.addoption("--writing-seconds", type=float, default=10, help="how long clients of the API write")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the containers out unless they are asked for, and put what spoils the stack for others last.

    That is: first those that need it as it is, then stopped servers, then other data.

    ``./test.sh`` runs the disruptive ones in a process of their own, with a stack of its own.
    """
    if not config.getoption("--containers"):
        config.hook.pytest_deselected(items=[item for item in items if _needs_an_engine(item)])
        items[:] = [item for item in items if not _needs_an_engine(item)]
    items.sort(key=_spoils)


def _needs_an_engine(item: pytest.Item) -> bool:
    return item.get_closest_marker("containers") is not None


def _spoils(item: pytest.Item) -> tuple[bool, bool]:
    return (
        item.get_closest_marker("other_data") is not None,
        item.get_closest_marker("disruptive") is not None,
    )


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A native stack with the sample data, started by ./run.sh and removed at the end."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The running stack's settings; commands that a test starts find them too."""
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(stack.env_file))
    return stack.settings


@pytest.fixture
def source(settings: Settings) -> Iterator[psycopg.Connection]:
    """PostgreSQL, as the owner of the tables, in autocommit."""
    with postgres.connect(settings, settings.postgres_owner) as connection:
        yield connection


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[Client]:
    """ClickHouse, as the user that only reads."""
    client = clickhouse.connect(settings, settings.clickhouse_reader)
    yield client
    client.close()


@pytest.fixture(scope="session")
def movielens() -> Path:
    """MovieLens ml-latest-small, which lies beside the repository on some machines."""
    folder = ROOT.parent / "shared" / "movielens" / "ml-latest-small"
    if not folder.is_dir():
        pytest.skip("MovieLens is not here: put ml-latest-small into ../shared/movielens to run this")
    return folder
