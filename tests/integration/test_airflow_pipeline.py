"""The daily batch in Airflow: one trigger, and everything comes of it."""

import socket
import struct
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from dataflix_checker import pipeline
from dataflix_checker.pipeline import PipelineError
from dataflix_contract import Settings, tables
from support.stack import Stack

pytestmark = pytest.mark.timeout(900)

_LISTENING = "0A"  # proc(5), net/tcp


def test_one_trigger_does_it_all(settings: Settings, source: psycopg.Connection) -> None:
    run_id = pipeline.trigger(settings)
    last = {change.task: change for change in pipeline.wait(settings, run_id)}
    assert {task: change.state for task, change in last.items()} == {
        **{f"reconcile.table[{table}]": "success" for table in tables()},
        "dbt.run": "success",
        "train.run": "success",
        "summary": "success",
    }
    assert pipeline.state(settings, run_id) == "success"
    newest = pipeline.last_run(settings)
    assert newest is not None
    assert newest.run_id == run_id

    outcome = pipeline.outcome(settings, run_id)
    assert outcome is not None
    assert outcome["state"] == "success"
    assert outcome["rows"] >= _count(source, "users") + _count(source, "ratings")
    assert outcome["dbt_models"] >= 4
    assert outcome["dbt_tests_passed"] > 0
    assert outcome["dbt_tests_failed"] == 0
    assert outcome["model_version"] >= 1
    assert outcome["rmse"] > 0
    assert {report["table"] for report in outcome["details"]["reconcile"]} == set(tables())


def _count(source: psycopg.Connection, table: str) -> int:
    counted = source.execute(psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table)))
    row = counted.fetchone()
    assert row is not None
    return int(row[0])


def test_a_wrong_password_is_refused(settings: Settings) -> None:
    stranger = settings.model_copy(update={"airflow_password": SecretStr("guessed")})
    with pytest.raises(PipelineError, match="DATAFLIX_AIRFLOW_USER"):
        pipeline.last_run(stranger)


def test_a_run_that_is_not_there(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="404"):
        pipeline.run(settings, "no-such-run")


def test_airflow_listens_on_loopback_and_on_its_port_only(stack: Stack, settings: Settings) -> None:
    mains = [stack.pid(f"airflow-{part}") for part in ("api", "scheduler", "dags")]
    listening = {address for pid in _with_children(mains) for address in _listening(pid)}
    assert listening == {("127.0.0.1", settings.airflow_port)}


def _with_children(pids: list[int]) -> set[int]:
    found = set(pids)
    for stat in Path("/proc").glob("[0-9]*/task/*/children"):
        if int(stat.parts[2]) in found:
            found |= _with_children([int(child) for child in stat.read_text().split()])
    return found


def _listening(pid: int) -> set[tuple[str, int]]:
    """Addresses on which a process waits for connections."""
    links = {descriptor.readlink().name for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in links:
                address, port = fields[1].split(":")
                words = [int(address[place : place + 8], 16) for place in range(0, len(address), 8)]
                found.add((socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)))
    return found


@pytest.mark.disruptive
def test_a_run_survives_its_scheduler(stack: Stack, settings: Settings) -> None:
    run_id = pipeline.trigger(settings)
    for change in pipeline.wait(settings, run_id):
        if change.task.startswith("reconcile") and change.state == "running":
            stack.kill("airflow-scheduler")
            break
    list(pipeline.wait(settings, run_id))
    assert pipeline.state(settings, run_id) == "success"
    outcome = pipeline.outcome(settings, run_id)
    assert outcome is not None
    assert len(outcome["details"]["reconcile"]) == len(tables())
