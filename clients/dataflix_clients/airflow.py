"""Airflow: log in to its REST API, trigger a run of the daily batch, watch its tasks."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx

from dataflix_clients.http_client import http, open_client, parsed
from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault, cannot_use
from dataflix_contract.schema import BATCH_DAG

_FINISHED = frozenset({"success", "failed"})
_ANSWER_SECONDS = 20.0
_POLL_SECONDS = 1.0
_MOST_TASKS = 100


class AirflowError(Fault):
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
        """Whether the run has ended."""
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


def check(settings: Settings, part: str) -> None:
    """Check that one part of Airflow, by the name that its API gives it, is healthy.

    Raises:
        httpx.HTTPError: Airflow does not answer.
        LookupError: the part is not healthy, or another server answers.
    """
    answer = http.get(f"{settings.airflow_url}/api/v2/monitor/health")
    status = parsed(answer.raise_for_status())[part]["status"]
    if status != "healthy":
        raise LookupError(f"Airflow says that its {part} is {status or 'not there'}")


def trigger(settings: Settings, *, full_refresh: bool = False) -> str:
    """Start a run and return its id. It waits if another run is in progress.

    Raises:
        AirflowError: Airflow refuses.
        httpx.HTTPError: Airflow is away.
    """
    with _airflow(settings) as api:
        request = {"logical_date": None, "conf": {"full_refresh": full_refresh}}
        answer = _answer(api.post(f"/dags/{BATCH_DAG}/dagRuns", json=request))
    return str(answer["dag_run_id"])


def run(settings: Settings, run_id: str) -> Run:
    """One run.

    Raises:
        AirflowError: there is no such run.
        httpx.HTTPError: Airflow is away.
    """
    with _airflow(settings) as api:
        return _run_of(api, run_id)


def last_run(settings: Settings, answer_seconds: float = _ANSWER_SECONDS) -> Run | None:
    """The run that was requested last, if there is one; each answer may take ``answer_seconds``."""
    with _airflow(settings, answer_seconds) as api:
        answer = _answer(api.get(f"/dags/{BATCH_DAG}/dagRuns", params={"order_by": "-run_after", "limit": 1}))
    return newest_run(answer)


def newest_run(answer: dict[str, Any]) -> Run | None:
    """Understand Airflow's list of runs, of which the first is the newest."""
    return next((_run(one) for one in answer["dag_runs"]), None)


def task_states(settings: Settings, run_id: str) -> list[TaskState]:
    """Where each task of a run stands, in the order in which they run."""
    with _airflow(settings) as api:
        return _task_states(api, run_id)


def wait(settings: Settings, run_id: str, seconds: float = 1800.0) -> Iterator[TaskState]:
    """Yield each task's state whenever it changes, until the run is finished.

    If Airflow does not answer for a while (it may be restarting), this waits for it.

    Raises:
        AirflowError: the run is not finished in time, or there is no such run.
    """
    deadline = time.monotonic() + seconds
    seen: dict[str, tuple[str | None, int]] = {}
    stands = "Airflow was not asked"
    with _airflow(settings) as api:
        while time.monotonic() <= deadline:
            try:
                now = _run_of(api, run_id)  # asked before the tasks: then no last change is missed
                stands = now.state
                for task in _task_states(api, run_id):
                    if seen.get(task.task) != (task.state, task.attempt):
                        seen[task.task] = (task.state, task.attempt)
                        yield task
                if now.finished:
                    return
            except httpx.TransportError:
                stands = "Airflow does not answer"
            time.sleep(_POLL_SECONDS)
    raise AirflowError(f"{run_id} is not finished after {seconds:g} s: {stands}")


class _Login(httpx.Auth):
    """Logs in before the first request, and again once Airflow does not know the token any more."""

    requires_response_body = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token:
            request.headers["Authorization"] = self._token
            if (yield request).status_code != HTTPStatus.UNAUTHORIZED:
                return
        url = self._settings.airflow_url
        login = {
            "username": self._settings.airflow_user,
            "password": self._settings.airflow_password.get_secret_value(),
        }
        answer = yield httpx.Request("POST", f"{url}/auth/token", json=login)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise AirflowError(cannot_use("Airflow", url, "another server answers there"))
        self._token = f"Bearer {_answer(answer)['access_token']}"
        request.headers["Authorization"] = self._token
        yield request


@contextmanager
def _airflow(settings: Settings, answer_seconds: float = _ANSWER_SECONDS) -> Iterator[httpx.Client]:
    """A client of the API that logs in by itself."""
    with open_client(f"{settings.airflow_url}/api/v2", answer_seconds) as client:
        client.auth = _Login(settings)
        yield client


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON.

    Raises:
        AirflowError: it is a refusal.
        LookupError: another server answers.
        httpx.TransportError: the server, or one behind it, is not ready.
    """
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise httpx.RemoteProtocolError(f"Airflow answers {response.status_code}", request=response.request)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise AirflowError("Airflow refuses the login: see DATAFLIX_AIRFLOW_USER and _PASSWORD")
    if response.is_error:
        raise AirflowError(f"Airflow answers {response.status_code}: {response.text[:300]}")
    answer: dict[str, Any] = parsed(response)
    return answer


def _run_of(api: httpx.Client, run_id: str) -> Run:
    return _run(_answer(api.get(f"/dags/{BATCH_DAG}/dagRuns/{run_id}")))


def _run(found: dict[str, Any]) -> Run:
    times = (_time(found[name]) for name in ("start_date", "end_date"))
    return Run(found["dag_run_id"], found["state"], *times)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _task_states(api: httpx.Client, run_id: str) -> list[TaskState]:
    answer = _answer(
        api.get(f"/dags/{BATCH_DAG}/dagRuns/{run_id}/taskInstances", params={"limit": _MOST_TASKS})
    )
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
