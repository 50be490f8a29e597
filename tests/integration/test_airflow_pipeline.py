"""Airflow as a server: its database, its login, and what a killed scheduler costs."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from dataflix_checker.batch_check import read_outcome
from dataflix_clients import airflow
from dataflix_clients.airflow import AirflowError
from dataflix_contract import Settings, tables
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


@pytest.mark.disruptive
def test_a_run_survives_its_scheduler(stack: Stack, settings: Settings) -> None:
    run_id = airflow.trigger(settings)
    for change in airflow.wait(settings, run_id):
        if change.task.startswith("reconcile") and change.state == "running":
            stack.kill("airflow-scheduler")
            break
    list(airflow.wait(settings, run_id))
    assert airflow.state(settings, run_id) == "success"
    outcome = read_outcome(settings, run_id)
    assert outcome is not None
    assert len(outcome["details"]["reconcile"]) == len(tables())
