"""Which folders a stack uses, and whether PostgreSQL's account can reach them."""

import os
from pathlib import Path

import pytest

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack import paths
from dataflix_stack.paths import Account
from dataflix_stack.supervision import socket_path

STRANGER = Account("stranger", 64_999, 64_999)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder below which only its own mode matters: pytest's are closed to others."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


def test_stays_in_the_repository_without_another_account(tmp_path: Path) -> None:
    assert paths.choose_state(tmp_path, None) == tmp_path


def test_stays_where_the_account_can_pass(open_folder: Path) -> None:
    assert paths.choose_state(open_folder / "not-made-yet", STRANGER) == open_folder / "not-made-yet"


def test_moves_out_of_a_closed_folder(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    chosen = paths.choose_state(closed / "repository", STRANGER)
    assert chosen.parent == paths.SYSTEM_STATE
    assert chosen != paths.choose_state(closed / "another", STRANGER)


def test_an_account_reaches_its_own_closed_folder(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    found = closed.stat()
    assert Account("owner", found.st_uid, found.st_gid).reaches(closed)


def test_settings_decide_about_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")
    assert paths.layout(settings).postgres == tmp_path / "data" / "postgres"


def test_home_is_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLIX_HOME", str(tmp_path))
    assert paths.home() == tmp_path


def test_a_missing_program_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLIX_HOME", str(tmp_path))
    with pytest.raises(Fault, match="scripts/envs"):
        paths.console_script("dataflix-masker")


def test_the_socket_is_short_enough_wherever_the_data_is(tmp_path: Path) -> None:
    near = paths.Layout(Path("/srv/data"))
    far = paths.Layout(tmp_path / ("deep" * 30))
    assert socket_path(near) == near.run / "supervisor.sock"
    assert len(os.fsencode(socket_path(far))) < 100
    assert socket_path(far) != socket_path(paths.Layout(tmp_path / ("deep" * 31)))
