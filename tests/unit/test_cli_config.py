"""Where the command line's settings come from: flag, environment, the stack's file, the person's file."""

import stat
import tomllib
from pathlib import Path

import pytest

from dataflix_cli import __version__, config
from dataflix_cli.command_faults import UsageFault
from dataflix_contract import Settings
from support.stack import ROOT

FLAGS = {"api_url": "http://flag"}
ENVIRON = {"DATAFLIX_API_URL": "http://environ"}
STACK = {"DATAFLIX_API_URL": "http://stack"}
PLACE = {"DATAFLIX_BACKEND_HOST": "place", "DATAFLIX_BACKEND_PORT": "7"}
FILE = {"api_url": "http://file"}


@pytest.mark.parametrize(
    ("flags", "environ", "stack", "file", "url"),
    [
        (FLAGS, ENVIRON | PLACE, STACK, FILE, "http://flag"),
        ({}, ENVIRON | PLACE, STACK, FILE, "http://environ"),
        ({}, PLACE, STACK, FILE, "http://stack"),
        ({}, PLACE, {}, FILE, "http://place:7"),
        ({}, {}, PLACE, FILE, "http://place:7"),
        ({}, {"DATAFLIX_BACKEND_PORT": "8"}, PLACE, FILE, "http://place:8"),
        ({}, {}, {}, FILE, "http://file"),
        ({}, {}, {}, {}, "http://127.0.0.1:5002"),
        ({"api_url": None}, {"DATAFLIX_API_URL": ""}, {}, {}, "http://127.0.0.1:5002"),
    ],
)
def test_the_first_source_wins(
    flags: dict[str, str | None],
    environ: dict[str, str],
    stack: dict[str, str],
    file: dict[str, str],
    url: str,
) -> None:
    assert config.resolve(flags, environ, stack, file).api_url.text == url


def test_the_default_is_the_stacks_own() -> None:
    url = config.resolve({}, {}, {}, {}).api_url.text
    assert url == Settings(_env_file=None).backend_url


def test_token_and_user_come_from_their_sources() -> None:
    found = config.resolve({}, {"DATAFLIX_USER": "3"}, {"DATAFLIX_BACKEND_TOKEN": "secret"}, {"user": "4"})
    assert (found.token.text, found.user.text) == ("secret", "3")
    assert found.user.source == "DATAFLIX_USER"


def test_a_slash_at_the_end_does_not_matter() -> None:
    assert config.resolve({"api_url": "http://a/"}, {}, {}, {}).api_url.text == "http://a"


def test_an_address_of_something_else_is_refused_by_its_source() -> None:
    with pytest.raises(UsageFault, match=r"ftp://a.*DATAFLIX_API_URL"):
        config.resolve({}, {"DATAFLIX_API_URL": "ftp://a"}, {}, {})


@pytest.mark.parametrize("user", ["--1", "-", "x", str(2**63), str(-(2**63) - 1), "9" * 30, "٣", "1\n"])
def test_a_user_is_an_id(user: str) -> None:
    with pytest.raises(UsageFault, match="no user's id"):
        config.resolve({}, {"DATAFLIX_USER": user}, {}, {})


@pytest.mark.parametrize("user", ["0", "-5", str(2**63 - 1), str(-(2**63))])
def test_a_user_has_any_id_that_postgresql_takes(user: str) -> None:
    assert config.resolve({}, {"DATAFLIX_USER": user}, {}, {}).user.text == user


def test_the_file_is_the_owners_alone_and_survives_changes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    config.write_file(path, {"token": 'a "secret" ü\\', "user": "7"})
    config.write_file(path, {"user": "8", "api_url": "http://a"})
    assert config.read_file(path) == {"token": 'a "secret" ü\\', "user": "8", "api_url": "http://a"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config.write_file(path, {"token": None})
    assert config.read_file(path) == {"user": "8", "api_url": "http://a"}


@pytest.mark.parametrize("text", ["user = ", "colour = 1", "\x00"])
def test_a_file_that_cannot_be_used_is_said_to_be(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageFault, match=r"config\.toml"):
        config.read_file(path)
    with pytest.raises(UsageFault):
        config.write_file(path, {"user": "1"})
    assert path.read_text() == text


def test_the_version_is_the_packages() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert package["project"]["version"] == __version__
