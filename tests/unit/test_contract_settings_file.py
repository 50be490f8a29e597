"""The settings file: every line is read as everybody reads it, or refused by its number."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataflix_contract import Settings, SettingsError, settings_file
from dataflix_contract.settings import read_settings
from dataflix_contract.settings_file import FILE_NAMES, chosen_file, read, template
from support.original_document import DOCUMENT
from support.stack import ROOT

#: What the template had in place of these names before.
FORMER = """\
DATAFLIX_POSTGRES_DB=dataflix
DATAFLIX_POSTGRES_USER=dataflix
DATAFLIX_POSTGRES_PASSWORD=dataflix
DATAFLIX_CLICKHOUSE_USER=dataflix
DATAFLIX_CLICKHOUSE_PASSWORD=dataflix
DATAFLIX_AIRFLOW_DB=airflow
DATAFLIX_AIRFLOW_DB_USER=airflow
DATAFLIX_AIRFLOW_DB_PASSWORD=airflow
DATAFLIX_S3_ACCESS_KEY=minio
DATAFLIX_S3_SECRET_KEY=minio123
"""
KEY = "DATAFLIX_MASKING_KEY"
#: Values as they are written, and as they are meant.
VALUES = [
    ("a-plain-key-of-length", "a-plain-key-of-length"),
    ("a key of one's own, long", "a key of one's own, long"),
    ("  blanks around it   ", "blanks around it"),
    ("a#b#c is one value", "a#b#c is one value"),
    (r"back\slash\n is kept", r"back\slash\n is kept"),
    ("'single $quotes # \"keep\" it'", 'single $quotes # "keep" it'),
    ("'kept blanks   '", "kept blanks   "),
    (r"'it\'s escaped'", "it's escaped"),
    (r"'a\tb is no tab'", r"a\tb is no tab"),
    ('"it\'s a secret of mine, long"', "it's a secret of mine, long"),
    (r'"a \"quoted\" word"', 'a "quoted" word'),
    ("'quoted and explained' # by a comment", "quoted and explained"),
    ("key=with=signs==", "key=with=signs=="),
    ("schlüssel-mit-umlaut", "schlüssel-mit-umlaut"),
    ("one\u2019s own key of length", "one\u2019s own key of length"),
    ("'“quoted” on purpose'", "“quoted” on purpose"),
]


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file to write to, and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("DATAFLIX_") and name != "DATAFLIX_HOME":
            monkeypatch.delenv(name)
    return tmp_path / "some.env"


def values(file: Path, text: str | bytes) -> Mapping[str, str]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file, template()).values


def refusal(file: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        values(file, text)
    return str(caught.value)


# --- Lines


@pytest.mark.parametrize(("written", "value"), VALUES)
@pytest.mark.parametrize("line", [KEY + "={}", "export " + KEY + "={}", "  " + KEY + " = {}"])
def test_a_value_is_taken_as_it_stands(file: Path, line: str, written: str, value: str) -> None:
    assert values(file, f"{line.format(written)}\n") == {"masking_key": value}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{KEY}='it's a secret of mine, long'", "quotes do not end"),
        (f"{KEY}='unbalanced secret", "quotes do not end"),
        (f'{KEY}="unbalanced secret', "quotes do not end"),
        (f"{KEY}='secret' and more", "quotes do not end"),
        (f"{KEY}='secret'#comment", "quotes do not end"),
        (f"{KEY}=secret #1 of mine", "# cuts"),
        (f"{KEY}=#secret", "# cuts"),
        (f"{KEY}=“secret of mine”", "typographic quotes"),
        (f"{KEY}=„secret of mine“", "typographic quotes"),
        (f"{KEY}=\u2018secret of mine\u2019", "typographic quotes"),
        (f"{KEY}=»secret of mine«", "typographic quotes"),
        (f"{KEY}=`secret of mine`", "backticks"),
        (f"{KEY}=secret of mine”", "typographic quotes"),
        (f"{KEY}=secret$of$mine", "single quotes"),
        (f"{KEY}=${{secret}}", "single quotes"),
        (f'{KEY}="secret$HOME"', "single quotes"),
        (f'{KEY}="secret\\n"', "single quotes"),
        (f"{KEY}='secret\\\\more'", "without quotes"),
        (f"{KEY}: secret", "write NAME=value"),
        (f"{KEY} secret", "write NAME=value"),
        (KEY, "write NAME=value"),
        (f"export {KEY}", "write NAME=value"),
        (f"{KEY}=secret\x00more", "invisible"),
        (f"{KEY}=secret\u200b", "invisible"),
        (f"{KEY}=secret\u00a0", "invisible"),
        (f"{KEY}=one\rsecret", "invisible"),
        (f"\u2028{KEY}=secret", "invisible"),
        (f"\u00a0{KEY}=secret", "invisible"),
        (f"\ufeff{KEY}=secret", "invisible"),
        (f"{KEY}\u00a0=secret", "invisible"),
        (f"{KEY}\uff1dsecret", "write NAME=value"),
    ],
)
def test_a_line_that_cannot_be_taken_as_it_stands_is_named_and_never_quoted(
    file: Path, line: str, why: str
) -> None:
    said = refusal(file, f"# comment\n\n{line}\n")
    assert f"{file}: line 3" in said
    assert KEY in said or line.startswith(("\u2028", "\u00a0", "\ufeff"))
    assert why in said
    assert "secret" not in said


def test_every_fault_is_told_at_once(file: Path) -> None:
    said = refusal(file, f"{KEY}='a\nDATAFLIX_PROFILE=core # stream\nDATAFLIX_BIND\n")
    assert [f"line {number} (" in said for number in (1, 2, 3)] == [True] * 3


def test_files_of_other_systems_are_read_or_refused(file: Path) -> None:
    windows = "DATAFLIX_PROFILE=core\r\nDATAFLIX_BIND=127.0.0.2\r\n"
    assert values(file, "\ufeff" + windows) == {"profile": "core", "bind": "127.0.0.2"}
    assert "UTF-8" in refusal(file, windows.encode("utf-16"))
    assert "UTF-8" in refusal(file, f"{KEY}=schlüssel\n".encode("latin-1"))
    assert values(file, "DATAFLIX_PROFILE=core") == {"profile": "core"}


def test_a_file_that_cannot_be_read_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read(tmp_path, template())
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(file))
    with pytest.raises(SettingsError, match=r"some\.env, which does not exist"):
        chosen_file()
    monkeypatch.setenv("DATAFLIX_ENV_FILE", "")
    assert chosen_file() is None


def test_no_file_of_ones_own_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen_file() is None
    (tmp_path / ".env").touch()
    assert chosen_file() == Path(".env")


# --- Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATAFLIX_MASKNG_KEY", KEY),
        ("DATAFLX_MASKING_KEY", KEY),
        ("dataflix_masking_key", KEY),
        ("MASKING_KEY", KEY),
        ("DATAFLIX_POSTGRES_PASWORD", "POSTGRES_PASSWORD"),
        ("POSTGRES_PASSWRD", "POSTGRES_PASSWORD"),
        ("POSTGRES_PORT", "DATAFLIX_POSTGRES_PORT"),
        ("AWS_SECRET_ACCES_KEY", "AWS_SECRET_ACCESS_KEY"),
        ("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
        ("FLASK_DEBUGG", "FLASK_DEBUG"),
        ("DATAFLIX_API_URI", "DATAFLIX_API_URL"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_is_meant(file: Path, name: str, meant: str) -> None:
    said = refusal(file, f"{name}=secret\n")
    assert f"line 1: {name} is no setting: is {meant} meant?" in said
    assert "secret" not in said


def test_names_of_ours_that_nothing_reads_are_refused(file: Path) -> None:
    assert ".env.example" in refusal(file, "DATAFLIX_COLOUR=red\n")
    assert "export it" in refusal(file, "DATAFLIX_HOME=/elsewhere\n")
    assert values(file, "COMPOSE_PROJECT_NAME=x\nhttp_proxy=http://proxy\n") == {}


def test_names_that_a_server_would_have_read_elsewhere_are_told(file: Path) -> None:
    file.write_text("AIRFLOW__CORE__EXECUTOR=CeleryExecutor\nTZ=UTC\n")
    assert read(file, template()).notices == [
        "nothing reads AIRFLOW__CORE__EXECUTOR (line 1): the settings are in .env.example"
    ]


def test_an_empty_value_is_no_default(file: Path) -> None:
    assert f"{KEY} is empty" in refusal(file, f"{KEY}=\n")
    assert f"{KEY} is empty" in refusal(file, f"{KEY}=''\n")
    assert "POSTGRES_PASSWORD is empty" in refusal(file, "POSTGRES_PASSWORD=\n")
    assert values(file, "DATAFLIX_BACKEND_TOKEN=\nDATAFLIX_DATA_DIR=\n") == {}


def test_one_setting_has_one_value(file: Path) -> None:
    assert values(file, "DATAFLIX_PROFILE=core\nDATAFLIX_PROFILE=core\n") == {"profile": "core"}
    said = refusal(file, "DATAFLIX_PROFILE=core\n\nDATAFLIX_PROFILE=full\n")
    assert "line 1: DATAFLIX_PROFILE and line 3: DATAFLIX_PROFILE" in said
    said = refusal(file, "DATAFLIX_POSTGRES_PASSWORD=one-secret\nPOSTGRES_PASSWORD=another-secret\n")
    assert "line 1: DATAFLIX_POSTGRES_PASSWORD and line 2: POSTGRES_PASSWORD" in said
    assert "secret" not in said
    both = "DATAFLIX_AIRFLOW_DB_USER=me\nAIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://you:x@airflow-db/airflow\n"
    assert "line 1: DATAFLIX_AIRFLOW_DB_USER and line 2" in refusal(file, both)


# --- The original document's names


def test_the_template_has_the_documents_lines_word_for_word() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert [line for line in DOCUMENT.splitlines() if line and line not in lines and line[0] != "#"] == []


@pytest.mark.parametrize("before", ["", (ROOT / ".env.example").read_text(encoding="utf-8")])
def test_the_documents_environment_can_be_pasted(
    file: Path, before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(before + DOCUMENT)
    settings = read_settings(file)
    assert settings == Settings()
    assert (settings.postgres_user, settings.postgres_db) == ("dataflix", "dataflix_db")
    assert settings.postgres_password.get_secret_value() == "dataflix123"
    assert settings.clickhouse_user == "default"
    assert settings.clickhouse_password.get_secret_value() == "clickhouse123"
    assert capsys.readouterr().err == ""


def test_the_documents_environment_works_with_moved_ports_too(file: Path) -> None:
    moved = "DATAFLIX_POSTGRES_PORT=5999\nDATAFLIX_S3_PORT=9999\nDATAFLIX_POSTGRES_HOST=elsewhere\n"
    assert values(file, moved + DOCUMENT)["postgres_port"] == "5999"


def test_an_old_file_keeps_its_values_and_its_owner_is_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    current = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines(keepends=True)
    new = {*FILE_NAMES.values(), settings_file.S3_ADDRESS}
    file.write_text("".join(line for line in current if line.partition("=")[0] not in new) + FORMER)
    settings = read_settings(file)
    assert (settings.postgres_db, settings.clickhouse_user) == ("dataflix", "dataflix")
    assert settings.postgres_password.get_secret_value() == "dataflix"
    assert settings.clickhouse_password.get_secret_value() == "dataflix"
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    for line in FORMER.splitlines():
        name = line.partition("=")[0]
        assert f"{name} (line" in told
        assert f"is now {FILE_NAMES[name.removeprefix('DATAFLIX_').lower()]}" in told
    read_settings(file)
    assert capsys.readouterr().err == "", "said once"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("postgresql+psycopg2://me:p%40ss%2F%24@airflow-db:5432/runs", ("runs", "me", "p@ss/$")),
        ("postgresql://me:x@127.0.0.1:5432/runs", ("runs", "me", "x")),
        ("postgresql://me:x@airflow-db/runs", ("runs", "me", "x")),
        ("postgresql+psycopg2://me:x@postgres/runs", ("runs", "me", "x")),
    ],
)
def test_airflows_address_gives_database_user_and_password(
    file: Path, address: str, found: tuple[str, str, str]
) -> None:
    said = values(file, f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={address}\n")
    assert (said["airflow_db"], said["airflow_db_user"], said["airflow_db_password"]) == found


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://me:secret@db.example:5432/a",
            "write airflow-db:5432",
        ),
        (
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://me:secret@127.0.0.1:6543/a",
            "write airflow-db:5432",
        ),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=mysql://me:secret@airflow-db/a", "postgresql+psycopg2"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:////secret.db", "postgresql+psycopg2"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://me:se#cret@airflow-db/a", "percent-encode"),
        (
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://me:secret@airflow-db/a?sslmode=off",
            "without options",
        ),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://airflow-db/a", "must name a user"),
        ("MLFLOW_S3_ENDPOINT_URL=https://s3.amazonaws.com", "write http://minio:9000"),
        ("MLFLOW_S3_ENDPOINT_URL=http://elsewhere:9000", "write http://minio:9000"),
        ("MLFLOW_S3_ENDPOINT_URL=http://[secret", "is no address"),
    ],
)
def test_another_server_than_ours_is_refused(file: Path, line: str, advice: str) -> None:
    said = refusal(file, f"{line}\n")
    assert f"line 1: {line.partition('=')[0]}" in said
    assert advice in said
    assert "secret" not in said


def test_what_a_shell_exports_for_others_is_not_taken(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*FILE_NAMES.values(), settings_file.S3_ADDRESS}:
        monkeypatch.setenv(name, "https://foreign:foreign@foreign/foreign")
    file.write_text("POSTGRES_PASSWORD=of-the-file\n")
    settings = read_settings(file)
    assert settings.postgres_password.get_secret_value() == "of-the-file"
    assert settings.model_copy(update={"postgres_password": Settings().postgres_password}) == Settings()
    monkeypatch.setenv("DATAFLIX_POSTGRES_PASSWORD", "of-the-environment")
    assert read_settings(file).postgres_password.get_secret_value() == "of-the-environment"


# --- Scripts, containers and programs read it alike


def script(file: Path, *asked: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/settings", file, *asked],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environ,
    )


def test_scripts_read_a_setting_as_programs_do(file: Path) -> None:
    file.write_text("DATAFLIX_PROFILE='core' # the stream\n")
    assert script(file, "DATAFLIX_PROFILE").stdout == "core\n"
    assert script(file, "DATAFLIX_PROFILE", DATAFLIX_PROFILE="full").stdout == "full\n"
    file.write_text("")
    assert script(file, "DATAFLIX_PROFILE").stdout == "full\n"
    file.write_text("DATAFLIX_PROFIL=core\n")
    refused = script(file, "DATAFLIX_PROFILE")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is DATAFLIX_PROFILE meant?" in refused.stderr


@pytest.mark.parametrize(
    "program", ["run.sh", "stop.sh", "scripts/compose", "bin/dataflix-status", "bin/dataflix"]
)
def test_each_way_in_refuses_a_file_that_it_would_misread(file: Path, tmp_path: Path, program: str) -> None:
    file.write_text(f"{KEY}='it's a secret of mine, long'\nDATAFLIX_DATA_DIR={tmp_path}/data\n")
    named = {"run.sh": ["--native"], "stop.sh": [], "scripts/compose": []}
    arguments = [*named[program], "--env-file", str(file)] if program in named else []
    arguments += {"scripts/compose": ["config"], "bin/dataflix": ["users", "list"]}.get(program, [])
    done = subprocess.run(
        [ROOT / program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"DATAFLIX_ENV_FILE": str(file)},
    )
    assert done.returncode != 0
    assert f"line 1 ({KEY})" in done.stderr
    assert "secret" not in done.stderr
    assert not (tmp_path / "data").exists()


def rendered(file: Path, *command: object, **environ: str) -> dict[str, dict[str, str]]:
    """Each container's environment, as docker compose renders it for scripts/compose, or by itself."""
    version = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(version, check=False, capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        [*(command or [ROOT / "scripts/compose"]), "--env-file", file, "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"COMPOSE_PROFILES": "full,cli"} | environ,
    )
    assert done.stderr == ""
    return {name: one.get("environment", {}) for name, one in json.loads(done.stdout)["services"].items()}


@pytest.mark.parametrize("prefix", ["", "export "])
@pytest.mark.parametrize(("written", "value"), VALUES)
def test_containers_get_what_programs_read(file: Path, prefix: str, written: str, value: str) -> None:
    file.write_text(f"\ufeff{prefix}{KEY}={written}\r\n")
    by_itself = rendered(file, "docker", "compose", "--file", ROOT / "docker-compose.yml")
    for found in (by_itself, rendered(file)):
        assert found["masker-0"][KEY].replace("$$", "$") == value


def test_containers_take_nothing_that_a_shell_exports_for_others(file: Path) -> None:
    names = {*FILE_NAMES.values(), settings_file.S3_ADDRESS}
    file.write_text(DOCUMENT)
    foreign = rendered(file, **dict.fromkeys(names, "https://foreign"))
    assert foreign == rendered(file)
    assert "foreign" not in json.dumps(foreign)


def test_containers_have_the_documents_logins(file: Path) -> None:
    file.write_text(DOCUMENT)
    found = rendered(file)
    migrate, seed, backend = found["migrate"], found["seed"], found["backend"]
    assert migrate["DATAFLIX_POSTGRES_USER"] == seed["DATAFLIX_POSTGRES_USER"] == "dataflix"
    assert migrate["DATAFLIX_POSTGRES_PASSWORD"] == "dataflix123"
    assert backend["DATAFLIX_POSTGRES_DB"] == "dataflix_db"
    assert found["airflow-api"]["DATAFLIX_AIRFLOW_DB_PASSWORD"] == "airflow"
    assert found["s3"]["ROOT_ACCESS_KEY_ID"] == "minio"
    assert found["s3"]["ROOT_SECRET_ACCESS_KEY"] == "minio123"
    assert backend["DATAFLIX_FLASK_DEBUG"] == "1"


def test_programs_see_nothing_that_a_shell_exports_for_others(tmp_path: Path) -> None:
    program = tmp_path / "envs" / "services" / "bin" / "dataflix-status"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    foreign = {
        *FILE_NAMES.values(),
        *("PGSERVICE", "PGOPTIONS", "PGPASSFILE", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"),
        *("AIRFLOW_HOME", "MLFLOW_TRACKING_TOKEN", "FLASK_APP", "WERKZEUG_DEBUG_PIN", "DBT_TARGET"),
    }
    done = subprocess.run(
        [ROOT / "bin/dataflix-status"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | dict.fromkeys(foreign, "foreign") | {"DATAFLIX_HOME": str(tmp_path)},
    )
    assert "foreign" not in done.stdout
    assert f"DATAFLIX_HOME={tmp_path}" in done.stdout


def test_the_file_is_read_with_the_standard_library_alone() -> None:
    code = "import sys; from dataflix_contract import settings_file; sys.exit('pydantic' in sys.modules)"
    subprocess.run(
        ["python3", "-S", "-c", code],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "contract")},
    )
