"""The daily batch, asked over Airflow's REST API: trigger a run, watch its tasks, read what came of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx

from dataflix_checker.clients import open_warehouse
from dataflix_checker.probes import parsed
from dataflix_contract import Settings, tables
from dataflix_contract.terminal import cannot_use

#: The DAG, and where the outcome of its runs is kept in ClickHouse.
DAG = "elt_pipeline"
RUNS_TABLE = "ops.pipeline_runs"

_FINISHED = frozenset({"success", "failed"})
_ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.5
_MOST_TASKS = 100


class PipelineError(Exception):
    """Airflow refuses what it was asked, or a run does not end in time."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the DAG.

    Attributes:
        run_id: its name, which its results carry too.
        state: ``queued``, ``running``, ``success`` or ``failed``.
        started_at: None while it is queued.
        finished_at: None until it is finished.
    """

    run_id: str
    state: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to be done."""
        return self.state in _FINISHED

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it is finished."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where one task of a run stands.

    Attributes:
        task: its name; of a mapped one with what it works on: ``reconcile.table[users]``.
        state: as Airflow says: ``scheduled``, ``running``, ``up_for_retry``, ``success``, ...; None: not yet.
        attempt: which try this is, from 1; 0 before the first.
        seconds: how long the try took, or takes by now.
    """

    task: str
    state: str | None
    attempt: int
    seconds: float | None


def trigger(settings: Settings, *, full_refresh: bool = False) -> str:
    """Start a run and return its id. It waits its turn if another one is at work.

    Raises:
        PipelineError: Airflow refuses.
        httpx.HTTPError: Airflow is away.
    """
    with _airflow(settings) as api:
        request = {"logical_date": None, "conf": {"full_refresh": full_refresh}}
        answer = _answer(api.post(f"/dags/{DAG}/dagRuns", json=request))
    return str(answer["dag_run_id"])


def run(settings: Settings, run_id: str) -> Run:
    """One run.

    Raises:
        PipelineError: there is no such run.
        httpx.HTTPError: Airflow is away.
    """
    with _airflow(settings) as api:
        return _run(_answer(api.get(f"/dags/{DAG}/dagRuns/{run_id}")))


def state(settings: Settings, run_id: str) -> str:
    """The run's state; see :class:`Run`."""
    return run(settings, run_id).state


def last_run(settings: Settings) -> Run | None:
    """The run that was asked for last, if there is one."""
    with _airflow(settings) as api:
        answer = _answer(api.get(f"/dags/{DAG}/dagRuns", params={"order_by": "-run_after", "limit": 1}))
    return next((_run(one) for one in answer["dag_runs"]), None)


def task_states(settings: Settings, run_id: str) -> list[TaskState]:
    """Where each task of a run stands, in the order in which they run."""
    with _airflow(settings) as api:
        return _task_states(api, run_id)


def wait(settings: Settings, run_id: str, seconds: float = 1800.0) -> Iterator[TaskState]:
    """Yield each task's state whenever it changes, until the run is finished.

    An Airflow that is away meanwhile (it may be restarting) is waited for.

    Raises:
        PipelineError: the run is not finished in time, or there is no such run.
    """
    deadline = time.monotonic() + seconds
    seen: dict[str, tuple[str | None, int]] = {}
    while True:
        try:
            now = run(settings, run_id)  # asked before the tasks: then no last change is missed
            for task in task_states(settings, run_id):
                if seen.get(task.task) != (task.state, task.attempt):
                    seen[task.task] = (task.state, task.attempt)
                    yield task
        except httpx.TransportError:
            now = None
        if now is not None and now.finished:
            return
        if time.monotonic() > deadline:
            stands = now.state if now else "not to be seen: Airflow does not answer"
            raise PipelineError(f"{run_id} is not finished after {seconds:g} s: {stands}")
        time.sleep(_POLL_SECONDS)


def outcome(settings: Settings, run_id: str) -> dict[str, Any] | None:
    """What the run's summary kept in ClickHouse, ``details`` unpacked; None: nothing (yet)."""
    warehouse = open_warehouse(settings)
    try:
        found = warehouse.query(
            f"SELECT * FROM {RUNS_TABLE} FINAL WHERE run_id = {{run_id:String}}", {"run_id": run_id}
        )
        rows = list(found.named_results())
    finally:
        warehouse.close()
    if not rows:
        return None
    measured = {name: _number(value) for name, value in rows[0].items()}
    return measured | {"details": json.loads(rows[0]["details"])}


def _number(value: Any) -> Any:
    """The value; a figure that was never measured is NaN in ClickHouse, and nothing in JSON."""
    return None if isinstance(value, float) and math.isnan(value) else value


@contextmanager
def _airflow(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the API, logged in."""
    with httpx.Client(base_url=settings.airflow_url, timeout=_ANSWER_SECONDS) as client:
        login = {
            "username": settings.airflow_user,
            "password": settings.airflow_password.get_secret_value(),
        }
        answer = client.post("/auth/token", json=login)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise PipelineError(cannot_use("Airflow", settings.airflow_url, "another server answers there"))
        token = _answer(answer)["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        client.base_url = httpx.URL(f"{settings.airflow_url}/api/v2")
        yield client


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON.

    Raises:
        PipelineError: it is a refusal.
        LookupError: another server answers.
        httpx.TransportError: the server, or one behind it, is not ready.
    """
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise httpx.RemoteProtocolError(f"Airflow answers {response.status_code}", request=response.request)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise PipelineError("Airflow refuses the login: see DATAFLIX_AIRFLOW_USER and _PASSWORD")
    if response.is_error:
        raise PipelineError(f"Airflow answers {response.status_code}: {response.text[:300]}")
    answer: dict[str, Any] = parsed(response)
    return answer


def _run(found: dict[str, Any]) -> Run:
    times = (_time(found[name]) for name in ("start_date", "end_date"))
    return Run(found["dag_run_id"], found["state"], *times)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _task_states(api: httpx.Client, run_id: str) -> list[TaskState]:
    answer = _answer(api.get(f"/dags/{DAG}/dagRuns/{run_id}/taskInstances", params={"limit": _MOST_TASKS}))
    order = {name: place for place, name in enumerate(("reconcile", "dbt", "train", "summary"))}
    found = sorted(
        answer["task_instances"],
        key=lambda one: (order.get(one["task_id"].partition(".")[0], len(order)), one["map_index"]),
    )
    return [TaskState(_name(one), one["state"], one["try_number"], one["duration"]) for one in found]


def _name(found: dict[str, Any]) -> str:
    if found["map_index"] < 0:
        return str(found["task_id"])
    # Airflow renders the table's name only once the task has begun; the DAG maps over the contract's order.
    tables_in_order = list(tables())
    table = tables_in_order[found["map_index"]] if found["map_index"] < len(tables_in_order) else "?"
    return f"{found['task_id']}[{found['rendered_map_index'] or table}]"
