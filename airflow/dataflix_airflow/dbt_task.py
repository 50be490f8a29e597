"""Ask the dbt webhook for a run and wait until it ends, also if the webhook's server restarts meanwhile.

If dbt's tests fail, the error names them with their models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_delay, wait_fixed

from dataflix_contract import Settings

log = logging.getLogger(__name__)

_UNFINISHED = frozenset({"queued", "running"})
#: dbt's states of a model or a test that could not be run to its end.
_BROKEN = frozenset({"error", "runtime error", "partial success"})
#: How many failed tests a message names.
_MOST_NAMED = 10


class DbtError(Exception):
    """The run did not succeed; another attempt may succeed."""


class _AwayError(Exception):
    """The webhook's server does not answer; it may be restarting."""


class DbtTestsFailedError(DbtError):
    """dbt ran to its end, and tests found faults in the data; another attempt would find the same."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Times to wait, in seconds.

    Attributes:
        outage: how long a server may not answer, each time.
        poll: pause between two requests.
        answer: how long one answer may take.
    """

    outage: float = 90.0
    poll: float = 1.0
    answer: float = 10.0


def run_dbt(
    settings: Settings, run_id: str, *, full_refresh: bool = False, timeouts: Timeouts | None = None
) -> dict[str, Any]:
    """Have the webhook run dbt and return the finished run, as ``GET /runs/{id}`` describes it.

    The run's id is the idempotency key: the webhook does the work once, also if it is asked twice. It is
    done again only if the earlier attempt failed or was interrupted.

    Raises:
        DbtTestsFailedError: only tests failed; the message names them.
        DbtError: the webhook does not answer for too long or refuses, or the run failed or was interrupted.
    """
    waits = timeouts or Timeouts()
    headers = {"Authorization": f"Bearer {settings.dbt_token.get_secret_value()}"}
    with httpx.Client(base_url=settings.dbt_url, headers=headers, timeout=waits.answer) as client:
        body = {"full_refresh": full_refresh}
        fire = {"Idempotency-Key": run_id}
        run = _ask(lambda: client.post("/runs", json=body, headers=fire), waits)
        path = f"/runs/{run['id']}"
        log.info("dbt run %s is %s", run["id"], run["status"])
        while run["status"] in _UNFINISHED:
            time.sleep(waits.poll)
            run = _ask(lambda: client.get(path), waits)
        _copy_logs(client, path)
    return _judged(run)


def _ask(request: Callable[[], httpx.Response], timeouts: Timeouts) -> dict[str, Any]:
    """The answer's JSON; a server that does not answer is asked again for a while."""
    asking = Retrying(
        retry=retry_if_exception_type(_AwayError),
        stop=stop_after_delay(timeouts.outage),
        wait=wait_fixed(timeouts.poll),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    try:
        return asking(_answer, request)
    except _AwayError as fault:
        raise DbtError(f"no answer of the dbt webhook for {timeouts.outage:g} s: {fault}") from fault


def _answer(request: Callable[[], httpx.Response]) -> dict[str, Any]:
    try:
        response = request()
    except httpx.TransportError as fault:
        raise _AwayError(f"{type(fault).__name__}: {fault}") from fault
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _AwayError(_problem(response))
    if response.is_error:
        raise DbtError(f"the dbt webhook refuses: {_problem(response)}")
    answer: dict[str, Any] = response.json()
    return answer


def _problem(response: httpx.Response) -> str:
    """The error that a response describes, in the form of RFC 9457 or in any other."""
    try:
        told = response.json()
        text = ": ".join(str(told[part]) for part in ("title", "detail") if told.get(part))
    except (ValueError, AttributeError):
        text = response.text
    return f"{response.status_code} {text}"


def _copy_logs(client: httpx.Client, path: str) -> None:
    """Copy dbt's own log into the task's log; if it cannot be read, the result still counts."""
    try:
        response = client.get(f"{path}/logs").raise_for_status()
    except httpx.HTTPError as fault:
        log.warning("dbt's log cannot be read: %s", fault)
        return
    for line in response.text.splitlines():
        log.info("dbt: %s", line)


def _judged(run: dict[str, Any]) -> dict[str, Any]:
    if run["status"] == "succeeded":
        return run
    if run["status"] == "interrupted":
        raise DbtError(f"dbt run {run['id']} was interrupted: request it again")
    failed = failed_tests(run)
    if failed and not _broken(run):
        more = f" and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
        raise DbtTestsFailedError(f"dbt tests failed: {', '.join(failed[:_MOST_NAMED])}{more}")
    raise DbtError(f"dbt run {run['id']} {run['status']}: {run.get('error') or _broken(run)}")


def failed_tests(run: Mapping[str, Any]) -> list[str]:
    """The tests that found faulty rows, each with the models that it checks."""
    return [
        f"{one['name']} on {one['subject']}" if one.get("subject") else one["name"]
        for one in run["results"]
        if one["resource_type"] == "test" and one["status"] == "fail"
    ]


def _broken(run: Mapping[str, Any]) -> list[str]:
    """The models and tests that could not be run to their end, which says nothing about the data."""
    return [f"{one['name']}: {one.get('message')}" for one in run["results"] if one["status"] in _BROKEN]
