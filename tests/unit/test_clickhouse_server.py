"""The server's rendered configuration."""

import hashlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dataflix_contract import Settings
from dataflix_stack.clickhouse_server import render_config
from dataflix_stack.errors import StackError
from dataflix_stack.paths import Layout


def rendered(tmp_path: Path, **values: object) -> dict[str, ET.Element]:
    files = render_config(Settings.model_validate(values), Layout(tmp_path))
    return {path.name: ET.fromstring(text) for path, text in files.items() if path.name != "dataflix.xml"}


def test_ports_and_address_come_from_the_settings(tmp_path: Path) -> None:
    config = rendered(tmp_path, bind="127.0.0.2", clickhouse_http_port=1234)["config.xml"]
    assert (config.findtext("listen_host"), config.findtext("http_port")) == ("127.0.0.2", "1234")


def test_passwords_are_stored_as_hashes_only(tmp_path: Path) -> None:
    files = render_config(
        Settings.model_validate({"clickhouse_password": "p<&'\"é"}),
        Layout(tmp_path),
    )
    text = "".join(files.values())
    assert hashlib.sha256("p<&'\"é".encode()).hexdigest() in text
    assert "p&lt;" not in text


def test_the_default_user_may_have_one_session_the_engines_own(tmp_path: Path) -> None:
    users = rendered(tmp_path)["users.xml"]
    assert users.findtext("users/default/profile") == "engine"
    assert users.findtext("profiles/engine/max_sessions_for_user") == "1"
    assert users.find("profiles/engine/constraints/max_sessions_for_user/const") is not None


@pytest.mark.parametrize("name", ["default", "a b", "<x>", "1a"])
def test_a_user_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StackError, match="letters, digits"):
        render_config(Settings.model_validate({"clickhouse_user": name}), Layout(tmp_path))


def test_two_users_with_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="must differ"):
        render_config(
            Settings.model_validate({"clickhouse_user": "same", "clickhouse_admin_user": "same"}),
            Layout(tmp_path),
        )
