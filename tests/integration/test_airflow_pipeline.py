"""Airflow as a server: its database, its login, and runs that are not there."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from dataflix_clients import airflow
from dataflix_clients.airflow import AirflowError
from dataflix_contract import Settings
from dataflix_contract.programs import find_program
from support.stack import ROOT, Stack

pytestmark = pytest.mark.timeout(900)


def test_a_second_migration_does_not_load_airflow(stack: Stack) -> None:
    program = find_program("dataflix-airflow", Path(os.environ.get("DATAFLIX_HOME", ROOT / ".dataflix")))
    assert program
    told = stack.run(program, "migrate").stdout
    assert told == "Airflow's database is up to date\n"


def test_a_wrong_password_is_refused(settings: Settings) -> None:
    stranger = settings.model_copy(update={"airflow_password": SecretStr("guessed")})
    with pytest.raises(AirflowError, match="DATAFLIX_AIRFLOW_USER"):
        airflow.last_run(stranger)


def test_a_run_that_is_not_there(settings: Settings) -> None:
    with pytest.raises(AirflowError, match="404"):
        airflow.run(settings, "no-such-run")
