"""Servers die in the middle of the daily batch: its retries finish the work, once."""

import os
import signal

import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clients import airflow, mlflow
from dataflix_contract import Settings, tables
from support.models import registered_by, whole
from support.stack import Stack

pytestmark = [pytest.mark.disruptive, pytest.mark.timeout(1200)]

#: Who is killed when a task of this group first runs.
VICTIMS = {
    "reconcile": ["clickhouse"],
    "dbt": ["dbt-webhook", "airflow-scheduler"],
    "train": ["mlflow", "s3"],
}


def test_killed_servers_cost_time_and_nothing_else(
    stack: Stack, settings: Settings, warehouse: Client
) -> None:
    before = mlflow.read_champion(settings)
    pids = {victim: stack.pid(victim) for victims in VICTIMS.values() for victim in victims}
    run_id = airflow.trigger(settings)
    history, killed = [], []
    for task in airflow.wait(settings, run_id, seconds=900):
        history.append(f"{task.task}: {task.state}, try {task.attempt}")
        group = task.task.partition(".")[0]
        if task.state == "running" and group not in killed:
            killed.append(group)
            for victim in VICTIMS.get(group, []):
                os.kill(pids[victim], signal.SIGKILL)
    assert set(VICTIMS) <= set(killed)
    assert airflow.run(settings, run_id).state == "success", "\n".join(history)

    reports = warehouse.query(
        "SELECT table_name, done FROM ops.reconciliations FINAL WHERE run_id = {run:String}", {"run": run_id}
    ).result_rows
    assert sorted(map(tuple, reports)) == [(table, True) for table in sorted(tables())]
    runs = "SELECT state FROM ops.pipeline_runs FINAL WHERE run_id = {run:String}"
    assert warehouse.query(runs, {"run": run_id}).result_rows == [("success",)]
    (version,) = registered_by(settings, run_id)
    champion = mlflow.read_champion(settings)
    assert champion is not None
    assert champion.number in {version.number, before.number if before else version.number}
    for one in (champion, version):
        assert len(whole(settings, one).item_ids)
