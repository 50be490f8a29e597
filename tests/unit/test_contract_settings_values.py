"""The settings' values: one rule for each, for scripts before anything is installed and for programs."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from dataflix_contract import Settings, SettingsError, settings_command
from dataflix_contract.settings import conflicts, read_settings, shared_names
from dataflix_contract.settings_conflicts import CLICKHOUSE_USERS, ROLES
from dataflix_contract.settings_file import template
from dataflix_contract.settings_values import RULES, SECRETS
from support.original_document import DOCUMENT
from support.stack import ROOT

LONG = "a" * 64


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file to write to, and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("DATAFLIX_") and name != "DATAFLIX_HOME":
            monkeypatch.delenv(name)
    return tmp_path / "some.env"


def script(file: Path, *asked: str, program: str = "scripts/settings") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / program, *([file] if program == "scripts/settings" else []), *asked],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"DATAFLIX_ENV_FILE": str(file)},
    )


def refused(file: Path, text: str) -> str:
    """What a program says to a file that it must refuse; the shell scripts say the same."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_settings(file)
    return str(caught.value)


def test_every_setting_has_a_rule_and_no_rule_is_left_over() -> None:
    assert RULES.keys() == Settings.model_fields.keys()


def test_a_secret_with_a_public_default_must_not_be_empty() -> None:
    fields = Settings.model_fields.items()
    secrets = {name: field.default for name, field in fields if isinstance(field.default, SecretStr)}
    assert set(SECRETS) == {name for name, default in secrets.items() if default.get_secret_value()}


# --- One value


@pytest.mark.parametrize(
    "value",
    [
        "1_7432",
        "+7432",
        "' 7432'",
        "\uff17\uff14\uff13\uff12",
        "\u0667\u0664\u0663\u0662",
        "07432",
        "7432.0",
        "1e3",
        "0x1F",
    ],
)
@pytest.mark.parametrize("name", ["DATAFLIX_KAFKA_PORT", "DATAFLIX_RAW_RETENTION_HOURS"])
def test_a_number_is_written_in_digits_alone(file: Path, name: str, value: str) -> None:
    assert f"line 1: {name}: must be a whole number from 1 to " in refused(file, f"{name}={value}\n")


BAD = [
    ("kafka_port", "0", "from 1 to 65535"),
    ("kafka_port", "65536", "from 1 to 65535"),
    ("kafka_port", "9" * 5000, "from 1 to 65535"),
    ("kafka_partitions", "65", "from 1 to 64"),
    ("backend_rate_limit", "-1", "from 0 to"),
    ("raw_retention_hours", "9" * 12, "from 1 to"),
    ("profile", "Full", "core or full"),
    ("stars_model", "vbmf", "chosen or svd"),
    ("trainer", "Spark", "numba or spark"),
    ("spark_master", "yarn", "must be local"),
    ("spark_master", "spark://host", "must be local"),
    ("spark_master", "spark://host:0", "its port must be a whole number from 1 to 65535"),
    ("spark_master", "spark://host:70777", "its port must be a whole number from 1 to 65535"),
    ("spark_secret", "two words", "letters, digits"),
    ("flask_env", "prod", "development or production"),
    ("flask_debug", "perhaps", "1 or 0"),
    ("masking_key", "short", "16 characters"),
    ("masking_key", " " * 20, "6 different ones"),
    ("masking_key", "0" * 64, "6 different ones"),
    ("masking_key", "abcde" * 10, "6 different ones"),
    ("airflow_secret", "short", "16 characters"),
    ("airflow_secret", "x" * 32, "6 different ones"),
    ("dbt_token", "-" * 32, "6 different ones"),
    ("masking_key_id", "a-b", "letters and digits"),
    ("dbt_token", "a token with blanks in it", "ASCII"),
    ("backend_token", "schlüssel", "ASCII"),
    ("batch_schedule", "61 25 * * *", "minute must be from 0 to 59"),
    ("batch_schedule", "0 3 31 2 *", "no month has such a day"),
    ("batch_schedule", "daily", "five fields, or off"),
    ("bind", "*", "host name or an IPv4 address"),
    ("bind", "127.0.0.300", "host name or an IPv4 address"),
    ("postgres_host", "http://db", "no http://"),
    ("postgres_host", "db:5432", "no port behind it"),
    ("postgres_host", "my host", "no blank"),
    ("kafka_host", "::1", "write its name"),
    ("kafka_host", "a,b", "host name"),
    ("postgres_user", "pg_owner", "names that begin with pg_"),
    ("postgres_user", "public", "keeps public"),
    ("postgres_user", 'a"b', "the role must have"),
    ("debezium_user", LONG, "cuts off the rest"),
    ("postgres_db", "postgres", "one of its own"),
    ("postgres_db", "template0", "one of its own"),
    ("mlflow_db", "template1", "one of its own"),
    ("mlflow_db", LONG, "cuts off the rest"),
    *((f"clickhouse_{role}_user", "default", "can only read") for role in ("admin", "batch", "dbt")),
    *(("clickhouse_user", name, "letters, digits") for name in ("a b", "<x>", "1a", "")),
    *(("airflow_user", name, "letters, digits") for name in ("", "a:b", "a,b", "a b")),
    ("clickhouse_password", "", "must not be empty"),
    ("s3_access_key", "a/b", "letters, digits"),
    ("s3_bucket", "Models", "lower-case letters"),
    ("s3_bucket", "ab", "3 to 63"),
    ("data_dir", "data", "must begin with /"),
    ("data_dir", "/", "of the stack's own"),
    ("data_dir", "~", "below your home folder"),
    ("data_dir", str(Path.home().parent), "of the stack's own"),
    ("data_dir", str(ROOT), "outside of the repository"),
    ("data_dir", str(ROOT / "tests" / ".." / "stack" / "new"), "outside of the repository"),
    ("data_dir", "/srv/a,b", "no comma"),
    ("data_dir", "~nobody-of-that-name/data", "must begin with /"),
    ("data_dir", f"/{'a' * 256}/data", "must be shorter"),
    ("data_dir", "/data" * 800, "must be shorter"),
]


@pytest.mark.parametrize(("field", "value", "why"), BAD)
def test_a_value_that_cannot_be_is_refused_whoever_makes_the_settings(
    field: str, value: str, why: str
) -> None:
    assert why in RULES[field](value)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({field: value})
    assert why in str(caught.value)
    if isinstance(Settings.model_fields[field].default, SecretStr) and value:
        assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("kafka_port", ["1", "65535"]),
        ("backend_rate_limit", ["0"]),
        ("flask_debug", ["1", "0", "true", "False", "on", "NO"]),
        ("masking_key", ["sixteen letters!", "schlüssel-mit-umlaut"]),
        ("batch_schedule", ["off", "0 3 * * mon-fri"]),
        ("bind", ["0.0.0.0", "localhost"]),
        ("postgres_host", ["postgres-rw.db.svc.cluster.local", "db_1", "10.0.0.7", "db.example."]),
        ("postgres_user", ["postgres", "Owner-1", "me@example.com", "a" * 63]),
        ("postgres_db", ["films", "postgres2", "a.b"]),
        ("backend_token", ["", "abc/+=~"]),
        ("data_dir", ["", "/srv/a folder", "~/dataflix", f"{ROOT}/.dataflix/second"]),
    ],
)
def test_a_value_that_works_is_taken(field: str, values: list[str]) -> None:
    assert [RULES[field](value) for value in values] == [""] * len(values)


def test_a_link_into_the_repository_is_in_the_repository(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT / "docs")
    assert "outside of the repository" in RULES["data_dir"](f"{tmp_path}/link/data")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "leads back to itself" in RULES["data_dir"](f"{tmp_path}/loop/data")


def test_the_folder_that_everything_is_made_in_may_be_in_the_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATAFLIX_HOME", f"{ROOT}/elsewhere")
    assert RULES["data_dir"](f"{ROOT}/elsewhere/stack") == ""


# --- Values that must fit each other

CONFLICTS = [
    (
        "DATAFLIX_DBT_PORT=5003",
        "DATAFLIX_MLFLOW_PORT (its default) and line 1: DATAFLIX_DBT_PORT are one port",
    ),
    ("DATAFLIX_KAFKA_PORT=9093", "are one port"),
    ("DATAFLIX_MASKER_WORKERS=3\nDATAFLIX_MASKER_PORT=5430", "DATAFLIX_MASKER_PORT of worker 2 are one port"),
    ("DATAFLIX_MASKER_WORKERS=3\nDATAFLIX_MASKER_PORT=65534", "must not exceed 65535"),
    ("DATAFLIX_MASKER_WORKERS=5", "line 1: DATAFLIX_MASKER_WORKERS is more than DATAFLIX_KAFKA_PARTITIONS"),
    (
        "POSTGRES_USER=postgres",
        "DATAFLIX_POSTGRES_ADMIN_USER (its default) and line 1: POSTGRES_USER name one",
    ),
    ("POSTGRES_USER=debezium", "must be different roles"),
    ("POSTGRES_USER=dataflix_api", "must be different roles"),
    ("DATAFLIX_MLFLOW_DB_USER=airflow", "must be different roles"),
    ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://dataflix:x@airflow-db/airflow", "different roles"),
    ("POSTGRES_DB=mlflow", "must be different databases"),
    ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://a:x@airflow-db/dataflix_db", "different databases"),
    ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://a:x@airflow-db/postgres", "one of its own"),
    *(
        (f"CLICKHOUSE_USER=dataflix_{role}", "name one user of ClickHouse: they must differ")
        for role in ("admin", "batch", "dbt")
    ),
    ("DATAFLIX_KAFKA_USER=me", "set both, or neither"),
]


@pytest.mark.parametrize(("text", "why"), CONFLICTS)
def test_settings_that_do_not_fit_each_other_are_refused(file: Path, text: str, why: str) -> None:
    said = refused(file, f"{text}\n")
    assert why in said
    assert "line " in said


def test_the_stream_alone_needs_only_its_own_ports(file: Path) -> None:
    file.write_text("DATAFLIX_PROFILE=core\nDATAFLIX_DBT_PORT=5432\nDATAFLIX_KAFKA_UI_PORT=5432\n")
    assert read_settings(file).dbt_port == 5432


def test_two_names_may_change_places(file: Path) -> None:
    file.write_text(
        "DATAFLIX_AIRFLOW_PORT=5002\nDATAFLIX_BACKEND_PORT=8080\n"
        "POSTGRES_USER=debezium\nDATAFLIX_DEBEZIUM_USER=dataflix\n"
    )
    assert read_settings(file).airflow_port == 5002


def test_the_environment_is_judged_with_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("\nDATAFLIX_DBT_PORT=7001\n")
    monkeypatch.setenv("DATAFLIX_MLFLOW_PORT", "7001")
    for said in (refused(file, "\nDATAFLIX_DBT_PORT=7001\n"), script(file).stderr):
        assert "DATAFLIX_MLFLOW_PORT in the environment and line 2: DATAFLIX_DBT_PORT are one port" in said
    monkeypatch.setenv("DATAFLIX_MLFLOW_PORT", "1_7432")
    assert "DATAFLIX_MLFLOW_PORT in the environment: must be a whole number" in refused(file, "")


def test_the_script_refuses_an_empty_secret_of_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs do, and containers would get the public default in its place."""
    monkeypatch.setenv("DATAFLIX_MASKING_KEY", "")
    said = refused(file, f"DATAFLIX_MASKING_KEY={LONG}\n")
    assert "DATAFLIX_MASKING_KEY is empty in the environment" in said
    assert script(file, "--exports").stderr == f"{said}\n"


def test_a_container_is_not_judged_by_defaults_that_it_was_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its file gave two roles each other's names, and it is given one of them only."""
    monkeypatch.setenv("DATAFLIX_DEBEZIUM_USER", "dataflix")
    assert read_settings(None).debezium_user == "dataflix"
    monkeypatch.setenv("DATAFLIX_MASKING_KEY", "short")
    with pytest.raises(
        SettingsError, match="DATAFLIX_MASKING_KEY in the environment: must have 16"
    ) as caught:
        read_settings(None)
    assert "short" not in str(caught.value)


def test_who_makes_roles_or_starts_all_servers_asks_by_the_same_rule() -> None:
    settings = Settings().model_copy(update={"debezium_user": "dataflix", "dbt_port": 5003})
    assert shared_names(settings, ROLES) == [
        "POSTGRES_USER and DATAFLIX_DEBEZIUM_USER name one role of PostgreSQL: they must be different roles"
    ]
    assert shared_names(settings, CLICKHOUSE_USERS) == []
    [role, port] = conflicts(settings)
    assert [role] == shared_names(settings, ROLES)
    assert "DATAFLIX_MLFLOW_PORT and DATAFLIX_DBT_PORT are one port" in port


# --- Before anything is installed or started


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("DATAFLIX_MASKING_KEY=secret", "line 2: DATAFLIX_MASKING_KEY: must have 16 characters or more"),
        ("DATAFLIX_KAFKA_PORT=70000", "line 2: DATAFLIX_KAFKA_PORT: must be a whole number from 1 to 65535"),
        ("DATAFLIX_BATCH_SCHEDULE=61 25 * * *", "line 2: DATAFLIX_BATCH_SCHEDULE: must be a cron expression"),
        ("POSTGRES_USER=postgres", "line 2: POSTGRES_USER name one role"),
        ("DATAFLIX_DBT_PORT=8080", "line 2: DATAFLIX_DBT_PORT"),
        ("DATAFLIX_TRAINER=spark\nDATAFLIX_STARS_MODEL=svd", "Surprise's SVD: set one of them only"),
    ],
)
def test_the_script_refuses_what_programs_refuse_with_the_same_words(file: Path, line: str, why: str) -> None:
    said = refused(file, f"# mine\n{line}\n")
    assert why in said
    for asked in ([], ["DATAFLIX_PROFILE"], ["--exports"]):
        done = script(file, *asked)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}\n")
        assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("program", "options"),
    [("run.sh", ["--native"]), ("stop.sh", []), ("scripts/compose", []), ("bin/dataflix-status", None)],
)
def test_each_way_in_refuses_a_value_that_cannot_be(
    file: Path, tmp_path: Path, program: str, options: list[str] | None
) -> None:
    file.write_text(f"DATAFLIX_DATA_DIR={tmp_path}/data\nDATAFLIX_MASKING_KEY=secret\n")
    arguments = [] if options is None else [*options, "--env-file", str(file)]
    done = script(file, *arguments, *(["config"] if program == "scripts/compose" else []), program=program)
    assert done.returncode != 0
    assert "line 2: DATAFLIX_MASKING_KEY: must have 16 characters" in done.stderr
    assert "secret" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("engine", ["docker", "no engine"])
def test_nothing_is_built_or_installed_with_a_value_that_cannot_be(
    file: Path, tmp_path: Path, engine: str
) -> None:
    """Containers and processes alike: the first thing that ``run.sh`` does is judging the file."""
    called = tmp_path / "called"
    home = tmp_path / "home"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f"""#!/bin/sh
case "$*" in
version*) echo 1.44 ;;
compose*version*) echo 2.40.0 ;;
*) echo "$@" >>{called} ;;
esac
exit {0 if engine == "docker" else 1}
"""
    )
    docker.chmod(0o755)
    file.write_text("DATAFLIX_KAFKA_PORT=70000\n")
    done = subprocess.run(
        [ROOT / "run.sh", "--env-file", file],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{docker.parent}:{os.environ['PATH']}", "DATAFLIX_HOME": str(home)},
    )
    assert done.returncode == 1
    assert "line 1: DATAFLIX_KAFKA_PORT: must be a whole number from 1 to 65535" in done.stderr
    assert not called.exists()
    assert not home.exists()


# --- A setting by its name

WRITTEN = {
    "POSTGRES_USER": "me",
    "POSTGRES_PASSWORD": "it is mine",
    "POSTGRES_DB": "films",
    "CLICKHOUSE_USER": "reader",
    "CLICKHOUSE_PASSWORD": "mine",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://me2:p%40ss@127.0.0.1:5432/runs",
    "AWS_ACCESS_KEY_ID": "mine",
    "AWS_SECRET_ACCESS_KEY": "mine-too",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9002",
    "FLASK_ENV": "production",
    "FLASK_DEBUG": "0",
    "DATAFLIX_KAFKA_PORT": "9099",
    "DATAFLIX_API_URL": "http://films.example",
    "DATAFLIX_USER": "7",
}


@pytest.fixture
def printed(file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """What the script prints for a name."""

    def ask(name: str) -> str:
        code = settings_command.main([str(file), name])
        out, err = capsys.readouterr()
        return out.removesuffix("\n") if code == 0 else err

    return ask


def test_the_script_prints_the_default_of_each_name(file: Path, printed: Callable[[str], str]) -> None:
    file.write_text("")
    assert {name: printed(name) for name in template()} == template()


def test_the_names_of_the_document_are_all_tried() -> None:
    assert {line.partition("=")[0] for line in DOCUMENT.splitlines() if "=" in line} <= WRITTEN.keys()


@pytest.mark.parametrize("name", WRITTEN)
def test_the_script_prints_the_files_value_whatever_a_shell_exports(
    file: Path, name: str, printed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not name.startswith("DATAFLIX_"):
        monkeypatch.setenv(name, "https://foreign:foreign@foreign/foreign")
    file.write_text(f"{DOCUMENT.replace(f'{name}=', '#')}\n{name}={WRITTEN[name]}\n")
    assert printed(name) == WRITTEN[name]


def test_the_script_knows_a_setting_by_each_of_its_names(
    file: Path, printed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("DATAFLIX_AIRFLOW_DB_PASSWORD=p@ss\nPOSTGRES_PASSWORD=mine\n")
    address = "postgresql+psycopg2://airflow:p%40ss@airflow-db:5432"
    assert printed("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") == f"{address}/airflow"
    assert printed("DATAFLIX_AIRFLOW_DB_PASSWORD") == "p@ss"
    assert printed("DATAFLIX_POSTGRES_PASSWORD") == "mine"
    monkeypatch.setenv("DATAFLIX_POSTGRES_PASSWORD", "of-the-environment")
    assert printed("POSTGRES_PASSWORD") == "of-the-environment"
    monkeypatch.setenv("DATAFLIX_AIRFLOW_DB", "runs")
    assert printed("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") == f"{address}/runs"
    assert printed("DATAFLIX_COLOUR") == "DATAFLIX_COLOUR is no setting: .env.example has all of them\n"
