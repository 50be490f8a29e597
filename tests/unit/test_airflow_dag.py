"""The DAG as Airflow understands it, read in Airflow's own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dataflix_airflow.airflow_command import dags_folder
from dataflix_contract import tables
from dataflix_training.training_run import seconds_allowed
from support.stack import ROOT

# Airflow parses the folder; what this test asks about is printed as the last line.
_READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
dag = bag.dags["elt_pipeline"]
tasks = {
    task.task_id: {
        "upstream": sorted(task.upstream_task_ids),
        "group": task.task_group.group_id,
        "mapped": task.is_mapped,
        "retries": task.retries,
        "retry_seconds": task.retry_delay.total_seconds(),
        "backoff": task.retry_exponential_backoff,
        "timeout": task.execution_timeout.total_seconds(),
        "trigger_rule": task.trigger_rule.value,
        "owner": task.owner,
        "at_once": task.max_active_tis_per_dagrun,
    }
    for task in dag.tasks
}
print()
print(json.dumps({
    "errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "tasks": tasks,
    "schedule": dag.timetable.expression,
    "at_once": dag.max_active_runs,
    "catchup": dag.catchup,
    "tags": sorted(dag.tags),
    "doc": dag.doc_md,
    "params": dag.params.dump(),
    "timeout": dag.dagrun_timeout.total_seconds(),
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Airflow read in the folder of the DAGs."""
    environments = Path(os.environ.get("DATAFLIX_HOME") or ROOT / ".dataflix") / "envs"
    python = environments / "batch" / "bin" / "python"
    assert python.exists(), "run scripts/envs batch: this test asks Airflow itself"
    done = subprocess.run(
        [str(python), "-c", _READ, str(dags_folder())],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_parses(parsed: Any) -> None:
    assert parsed["errors"] == {}
    assert parsed["dags"] == ["elt_pipeline", "housekeeping"]


def test_it_runs_daily_one_at_a_time_and_makes_up_for_nothing(parsed: Any) -> None:
    assert parsed["schedule"] == "30 3 * * *"
    assert parsed["at_once"] == 1
    assert parsed["catchup"] is False
    assert parsed["timeout"] > 0
    assert parsed["params"] == {"full_refresh": False}


def test_it_explains_itself(parsed: Any) -> None:
    assert parsed["tags"] == ["daily", "dataflix"]
    assert "ops.pipeline_runs" in parsed["doc"]


def test_the_tasks_stand_in_groups_one_after_the_other(parsed: Any) -> None:
    tasks = parsed["tasks"]
    assert {name: task["group"] for name, task in tasks.items()} == {
        "reconcile.table": "reconcile",
        "dbt.run": "dbt",
        "train.run": "train",
        "summary": None,
    }
    assert tasks["reconcile.table"]["upstream"] == []
    assert tasks["dbt.run"]["upstream"] == ["reconcile.table"]
    assert tasks["train.run"]["upstream"] == ["dbt.run"]
    assert tasks["summary"]["upstream"] == ["dbt.run", "reconcile.table", "train.run"]


def test_each_table_has_a_task_and_two_run_at_once(parsed: Any) -> None:
    assert tables()
    assert parsed["tasks"]["reconcile.table"]["mapped"]
    assert parsed["tasks"]["reconcile.table"]["at_once"] == 2


def test_the_summary_runs_whatever_happened(parsed: Any) -> None:
    assert parsed["tasks"]["summary"]["trigger_rule"] == "all_done"
    rules = {name: task["trigger_rule"] for name, task in parsed["tasks"].items() if name != "summary"}
    assert set(rules.values()) == {"all_success"}


def test_every_task_is_tried_again_soon_and_none_runs_for_ever(parsed: Any) -> None:
    for task in parsed["tasks"].values():
        assert task["retries"] >= 3
        assert task["retry_seconds"] <= 15
        assert task["backoff"] == 2.0
        assert 0 < task["timeout"] < parsed["timeout"]
        assert task["owner"] == "dataflix"
    tasks = dict(parsed["tasks"])
    assert seconds_allowed(25_000_000) < tasks.pop("train.run")["timeout"] <= 2 * 3600
    assert all(task["timeout"] <= 3600 for task in tasks.values())
