"""What is rendered for the servers' containers is what the native way renders, but for the addresses."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack import compose
from dataflix_stack.paths import Layout
from dataflix_stack.server_config import InContainers, server_files

CONF = compose.INSIDE.conf


def in_containers(**values: object) -> Settings:
    return Settings.model_validate({"bind": "0.0.0.0", "kafka_host": "kafka", **values})


def rendered(**values: object) -> dict[str, str]:
    files = compose.render(in_containers(**values), InContainers("127.0.0.1"))
    return {
        f"{service}/{path.relative_to(CONF)}": text
        for service, texts in files.items()
        for path, text in texts.items()
    }


def options(text: str) -> dict[str, str]:
    """A properties file's options, or postgresql.conf's."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("service", "name", "apart"),
    [
        ("postgres", "postgresql.conf", {"listen_addresses", "unix_socket_directories", "hba_file"}),
        (
            "kafka",
            "kafka.properties",
            {"listeners", "advertised.listeners", "log.dirs", "listener.security.protocol.map"},
        ),
        ("connect", "connect.properties", {"bootstrap.servers", "listeners", "plugin.path"}),
    ],
)
def test_only_addresses_and_folders_differ_from_the_native_way(
    service: str, name: str, apart: set[str]
) -> None:
    native_layout = Layout(Path("/stack"))
    native = options(server_files(Settings(), native_layout)[service][native_layout.conf / name])
    inside = options(rendered()[f"{service}/{name}"])
    assert {key for key in native.keys() | inside.keys() if native.get(key) != inside.get(key)} == apart


def test_kafka_tells_everybody_the_address_that_they_reach() -> None:
    kafka = options(rendered(kafka_port=21092)["kafka/kafka.properties"])
    assert kafka["listeners"] == "PLAINTEXT://0.0.0.0:21092,CONTROLLER://127.0.0.1:9093,HOST://0.0.0.0:19092"
    assert kafka["advertised.listeners"].split(",") == [
        "PLAINTEXT://kafka:21092",
        "CONTROLLER://127.0.0.1:9093",
        "HOST://127.0.0.1:21092",
    ]


def test_a_port_that_would_be_taken_inside_is_refused() -> None:
    with pytest.raises(Fault, match="19092"):
        rendered(kafka_port=19092)


def test_clickhouse_has_no_user_without_a_password() -> None:
    files = rendered(clickhouse_admin_password="the-secret")
    assert "no_password" not in files["clickhouse/users.xml"] + files["clickhouse/users.d/dataflix.xml"]
    assert not [name for name, text in files.items() if "the-secret" in text]
    xml = {name: ET.fromstring(text) for name, text in files.items() if name.endswith(".xml")}
    assert xml["clickhouse/config.xml"].findtext("user_directories/users_xml/path") == f"{CONF}/users.xml"


def test_files_are_written_where_each_container_sees_its_own(tmp_path: Path) -> None:
    compose.write(compose.render(in_containers(), InContainers("127.0.0.1")), tmp_path)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        "postgres/postgresql.conf",
        "postgres/pg_hba.conf",
        "kafka/kafka.properties",
        "kafka/log4j2.properties",
        "connect/connect.properties",
        "connect/log4j2.properties",
        "clickhouse/config.xml",
        "clickhouse/config.d/dataflix.xml",
        "clickhouse/users.xml",
        "clickhouse/users.d/dataflix.xml",
    }
    assert f"hba_file = '{CONF}/pg_hba.conf'" in (tmp_path / "postgres/postgresql.conf").read_text()


def test_a_setting_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAFLIX_ENV_FILE", "")
    monkeypatch.setenv("DATAFLIX_KAFKA_PORT", "19092")
    assert compose.main([str(tmp_path), "127.0.0.1"]) == 1
    assert "set DATAFLIX_KAFKA_PORT" in capsys.readouterr().err
    assert compose.main([]) == 2
