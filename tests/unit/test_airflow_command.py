"""Airflow's configuration, made from the settings."""

import base64
import json
import stat
from pathlib import Path

from pydantic import SecretStr

from dataflix_airflow.airflow_command import (
    airflow_command,
    airflow_environment,
    dags_folder,
    database_url,
    derived_key,
    passwords_file,
    write_passwords,
)
from dataflix_contract import Settings

HOME, DAGS = Path("/data/airflow"), Path("/repository/dags")


def made(**overrides: object) -> dict[str, str]:
    return airflow_environment(Settings(_env_file=None).model_copy(update=overrides), HOME, DAGS)


def test_everything_listens_where_the_settings_say() -> None:
    variables = made(bind="127.0.0.5", airflow_host="airflow-api", airflow_port=8099)
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.5"
    assert variables["AIRFLOW__API__PORT"] == "8099"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-api:8099/execution/"


def test_the_scheduler_serves_no_logs_and_other_commands_are_airflows_own() -> None:
    assert airflow_command(["scheduler"]) == ["scheduler", "--skip-serve-logs"]
    assert airflow_command(["migrate"]) == ["db", "migrate"]
    assert airflow_command(["api-server"]) == ["api-server"]
    assert airflow_command(["dags", "list", "-o", "json"]) == ["dags", "list", "-o", "json"]
    assert airflow_command([]) == ["--help"]


def test_files_are_below_the_home_and_dags_where_they_are() -> None:
    variables = made()
    assert variables["AIRFLOW_HOME"] == str(HOME)
    assert Path(variables["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]).parent == HOME
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == str(DAGS)
    assert (dags_folder() / "elt_pipeline.py").is_file()


def test_no_examples_no_paused_dags_no_catching_up() -> None:
    variables = made()
    for option in (
        "CORE__LOAD_EXAMPLES",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION",
        "SCHEDULER__CATCHUP_BY_DEFAULT",
    ):
        assert variables[f"AIRFLOW__{option}"] == "False"


def test_a_password_with_signs_of_an_address_stays_a_password() -> None:
    settings = Settings(_env_file=None, airflow_db_password=SecretStr("p@ss/w:rd%?"), postgres_port=5433)
    assert (
        database_url(settings) == "postgresql+psycopg2://airflow:p%40ss%2Fw%3Ard%25%3F@127.0.0.1:5433/airflow"
    )


def test_each_key_is_its_own_and_follows_the_secret() -> None:
    variables = made()
    names = ("API__SECRET_KEY", "API_AUTH__JWT_SECRET", "CORE__FERNET_KEY")
    keys = [variables[f"AIRFLOW__{name}"] for name in names]
    other = made(airflow_secret=SecretStr("another secret of 32 characters."))
    secret = Settings(_env_file=None).airflow_secret.get_secret_value()
    assert len(set(keys)) == len(keys)
    assert not [name for name in names if variables[f"AIRFLOW__{name}"] == other[f"AIRFLOW__{name}"]]
    assert secret not in " ".join(variables.values())
    assert len(base64.urlsafe_b64decode(variables["AIRFLOW__CORE__FERNET_KEY"])) == 32
    assert derived_key(Settings(_env_file=None), "jwt").hex() == variables["AIRFLOW__API_AUTH__JWT_SECRET"]


def test_a_killed_schedulers_tasks_wait_no_minute() -> None:
    variables = made()
    given_up = int(variables["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD"])
    looked_for = int(variables["AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"])
    assert given_up + looked_for < 60


def test_a_task_outlives_the_api_servers_restart_and_is_not_given_up_before_it_gives_up() -> None:
    variables = made()
    every = int(variables["AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"])
    patience = every * int(variables["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"])
    assert 60 <= patience < int(variables["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])


def test_the_login_is_an_admin_and_the_password_in_a_closed_file(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, airflow_user="ada", airflow_password=SecretStr('qu"ote'))
    write_passwords(settings, tmp_path)
    write_passwords(settings, tmp_path)  # at every start
    file = passwords_file(tmp_path)
    assert json.loads(file.read_text()) == {"ada": 'qu"ote'}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made(airflow_user="ada")["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "ada:admin"
