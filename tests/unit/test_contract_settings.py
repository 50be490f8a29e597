"""Settings: the environment, the file, the defaults, and the template."""

from pathlib import Path

import pytest

from dataflix_contract import SettingsError, load_settings
from dataflix_contract.settings import Settings, render_env_example

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DATAFLIX_{name.upper()}", raising=False)
    file = tmp_path / "settings"
    file.touch()
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(file))
    return file


def test_the_template_is_printed_by_the_settings() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == render_env_example()


def test_the_template_gives_the_defaults(env_file: Path) -> None:
    env_file.write_text(render_env_example(), encoding="utf-8")
    from_template = load_settings()
    env_file.write_text("")
    assert from_template == load_settings()


def test_the_environment_wins_over_the_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("DATAFLIX_KAFKA_PORT=1\nDATAFLIX_KAFKA_HOST=file\n", encoding="utf-8")
    monkeypatch.setenv("DATAFLIX_KAFKA_PORT", "2")
    assert load_settings().kafka_bootstrap == "file:2"


@pytest.mark.parametrize("line", ["KAFKA_PORT=0", "KAFKA_PORT=x", "MASKING_KEY=short", "MASKING_KEY_ID=a-b"])
def test_a_bad_setting_is_named(env_file: Path, line: str) -> None:
    env_file.write_text(f"DATAFLIX_{line}\n", encoding="utf-8")
    name, value = line.split("=")
    with pytest.raises(SettingsError, match=f"DATAFLIX_{name}: ") as caught:
        load_settings()
    assert value not in str(caught.value).split()


def test_the_public_key_is_known_as_such(env_file: Path) -> None:
    assert load_settings().local_only_key
    env_file.write_text("DATAFLIX_MASKING_KEY=a key of one's own\n", encoding="utf-8")
    assert not load_settings().local_only_key


def test_an_empty_secret_of_the_environment_is_no_public_default(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLIX_MASKING_KEY", "")
    with pytest.raises(SettingsError, match="DATAFLIX_MASKING_KEY is empty in the environment"):
        load_settings()
    monkeypatch.delenv("DATAFLIX_MASKING_KEY")
    monkeypatch.setenv("DATAFLIX_BACKEND_TOKEN", "")
    env_file.write_text("DATAFLIX_BACKEND_TOKEN=of-the-file\n")
    assert load_settings().backend_token.get_secret_value() == "of-the-file"


def test_a_bad_line_of_the_file_is_named_as_it_stands_there(env_file: Path) -> None:
    env_file.write_text("\nFLASK_DEBUG=perhaps\n")
    with pytest.raises(SettingsError, match="line 2: FLASK_DEBUG: "):
        load_settings()


@pytest.mark.parametrize(
    ("environment", "debug", "wanted"),
    [("development", "1", True), ("development", "0", False), ("production", "1", False)],
)
def test_debug_messages_are_for_development(
    env_file: Path, environment: str, debug: str, wanted: bool
) -> None:
    env_file.write_text(f"FLASK_ENV={environment}\nFLASK_DEBUG={debug}\n")
    assert load_settings().backend_debug is wanted


def test_kafka_clients_log_in_over_tls_where_a_user_is_set() -> None:
    assert Settings(kafka_host="k", kafka_port=1).kafka_client == {"bootstrap.servers": "k:1"}
    client = Settings(kafka_user="masker", kafka_password="s3cret", kafka_ca_file="/ca.crt").kafka_client
    assert client["security.protocol"] == "SASL_SSL"
    assert client["sasl.username"] == "masker"
    assert client["sasl.password"] == "s3cret"
    assert client["ssl.ca.location"] == "/ca.crt"


def test_every_kafka_client_is_made_from_the_settings_options() -> None:
    """A client with a server list of its own cannot log in where Kafka asks for it."""
    packages = [file for file in ROOT.glob("*/dataflix_*/**/*.py") if "tests" not in file.parts]
    assert len(packages) > 100
    own = {file.name for file in packages if '"bootstrap.servers":' in file.read_text(encoding="utf-8")}
    assert own == {"settings.py"}


def test_a_service_has_a_folder_of_its_own_below_the_stacks() -> None:
    assert Settings(data_dir=Path("/data")).service_folder("airflow") == Path("/data/airflow")
    with pytest.raises(SettingsError, match="DATAFLIX_DATA_DIR is empty: "):
        Settings().service_folder("airflow")
