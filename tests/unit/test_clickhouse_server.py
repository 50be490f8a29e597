"""The server's rendered configuration."""

import hashlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack.clickhouse_gate import READER_SETTINGS
from dataflix_stack.clickhouse_server import render_config, render_container_config
from dataflix_stack.paths import Layout

GATE = "http://127.0.0.1:1/gate"


def rendered(tmp_path: Path, **values: object) -> dict[str, ET.Element]:
    files = render_config(Settings.model_validate(values), Layout(tmp_path), GATE)
    return {path.name: ET.fromstring(text) for path, text in files.items() if path.name != "dataflix.xml"}


def test_ports_and_address_come_from_the_settings(tmp_path: Path) -> None:
    config = rendered(tmp_path, bind="127.0.0.2", clickhouse_http_port=1234)["config.xml"]
    assert (config.findtext("listen_host"), config.findtext("http_port")) == ("127.0.0.2", "1234")


def test_passwords_are_stored_as_hashes_only(tmp_path: Path) -> None:
    files = render_config(
        Settings.model_validate({"clickhouse_user": "reader", "clickhouse_password": "p<&'\"é"}),
        Layout(tmp_path),
        GATE,
    )
    text = "".join(files.values())
    assert hashlib.sha256("p<&'\"é".encode()).hexdigest() in text
    assert "p&lt;" not in text


def user_of(files: dict[Path, str], name: str) -> ET.Element:
    (text,) = (text for path, text in files.items() if path.parent.name == "users.d")
    found = ET.fromstring(text).find(f"users/{name}")
    assert found is not None
    return found


def test_people_who_are_default_pass_the_gate_and_hold_no_password_in_the_file(tmp_path: Path) -> None:
    files = render_config(Settings.model_validate({}), Layout(tmp_path), GATE)
    reader = user_of(files, "default")
    assert reader.findtext("http_authentication/server") == "gate"
    assert reader.find("password_sha256_hex") is None
    granted = {query.text for query in reader.iterfind("grants/query")}
    assert not [query for query in granted if query and "FILE" in query]
    assert rendered(tmp_path)["config.xml"].findtext("http_authentication_servers/gate/uri") == GATE


def test_the_gate_makes_sessions_as_readonly_as_the_readers_profile(tmp_path: Path) -> None:
    files = render_config(Settings.model_validate({}), Layout(tmp_path), GATE)
    (users,) = (ET.fromstring(text) for path, text in files.items() if path.parent.name == "users.d")
    assert users.findtext("profiles/dataflix_reader/readonly") == READER_SETTINGS["readonly"]


def test_with_another_reader_default_only_opens_the_ports(tmp_path: Path) -> None:
    users = rendered(tmp_path, clickhouse_user="dataflix")["users.xml"]
    granted = [query.text for query in users.iterfind("users/default/grants/query")]
    assert granted == ["GRANT SYSTEM LISTEN ON *.*"]
    files = render_config(Settings.model_validate({"clickhouse_user": "dataflix"}), Layout(tmp_path), GATE)
    assert user_of(files, "dataflix").find("password_sha256_hex") is not None


def test_in_a_container_default_is_a_reader_with_a_password(tmp_path: Path) -> None:
    reader = user_of(render_container_config(Settings.model_validate({}), tmp_path), "default")
    assert reader.findtext("password_sha256_hex") == hashlib.sha256(b"clickhouse123").hexdigest()
    assert reader.findtext("profile") == "dataflix_reader"


def test_two_users_with_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="must differ"):
        render_config(
            Settings.model_validate({"clickhouse_user": "same", "clickhouse_admin_user": "same"}),
            Layout(tmp_path),
            GATE,
        )
