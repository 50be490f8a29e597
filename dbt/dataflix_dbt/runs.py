"""Runs of dbt: the requests for them, how requests share runs, and the results of a run. No I/O.

Results are read from dbt's artefacts: https://docs.getdbt.com/reference/artifacts/dbt-artifacts.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: How many runs may wait; all of them have different requests (see ``answering_run``).
MOST_QUEUED = 20
_MOST_SELECT_CHARACTERS = 500
_MOST_KEY_CHARACTERS = 250
# dbt's node selection: names, methods such as tag:, graph operators; no token can look like an option.
_SELECT_TOKEN = r"[A-Za-z0-9_@+*][A-Za-z0-9_@+*.:,/-]*"  # noqa: S105 - not a password
_SELECT = re.compile(rf"{_SELECT_TOKEN}(?: {_SELECT_TOKEN})*")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_MOST_MESSAGE_CHARACTERS = 2_000
_MOST_NAMED = 5


class RequestError(ValueError):
    """A request is not valid; the message says why."""


class KeyReusedError(Exception):
    """An idempotency key came before, with another request."""


class QueueFullError(Exception):
    """Too many different requests wait."""


class Status(enum.StrEnum):
    """The state of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def finished(self) -> bool:
        """Whether it will not change any more."""
        return self not in (Status.QUEUED, Status.RUNNING)

    @property
    def worth_another_attempt(self) -> bool:
        """Whether the same idempotency key starts a new run."""
        return self in (Status.FAILED, Status.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is to build.

    Attributes:
        select: dbt's node selection; None: everything, including the sources' freshness and documentation.
        full_refresh: whether dbt rebuilds incremental models from nothing.
    """

    select: str | None = None
    full_refresh: bool = False


@dataclass(frozen=True, slots=True)
class NodeResult:
    """The result of one model, test or source.

    Attributes:
        unique_id: dbt's own name of the node.
        status: dbt's status: success, pass, warn, fail, error, skipped, runtime error.
        failures: how many rows fail a test.
        seconds: how long it took.
        subject: for a test, the models and sources that it checks; empty otherwise.
    """

    unique_id: str
    name: str
    resource_type: str
    status: str
    message: str | None
    failures: int | None
    seconds: float
    subject: str = ""

    @property
    def failed(self) -> bool:
        """Whether this result makes the run fail."""
        return self.status in ("fail", "error", "runtime error", "partial success")


@dataclass(frozen=True, slots=True)
class Run:
    """One run; times are ISO 8601 in UTC."""

    id: str
    request: RunRequest
    status: Status
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    error: str | None = None
    results: tuple[NodeResult, ...] = ()

    @property
    def failed_tests(self) -> list[str]:
        """Names of the tests that did not pass."""
        return [one.name for one in self.results if one.failed and one.resource_type in ("test", "unit_test")]


def parse_request(body: Any) -> RunRequest:
    """Read the request in a decoded JSON body.

    Raises:
        RequestError: the body is no valid request.
    """
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    unknown = sorted(str(name)[:50] for name in body.keys() - {"select", "full_refresh"})
    if unknown:
        raise RequestError(f"unknown members: {', '.join(unknown)}; there are select and full_refresh")
    select, full_refresh = body.get("select"), body.get("full_refresh", False)
    if select is not None and not _is_select(select):
        raise RequestError(
            "select must be dbt's node selection: names and methods of letters, digits and _ @ + * . : , / -"
            f" with single spaces between, {_MOST_SELECT_CHARACTERS} characters at most"
        )
    if not isinstance(full_refresh, bool):
        raise RequestError("full_refresh must be true or false")
    return RunRequest(select, full_refresh)


def _is_select(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_SELECT_CHARACTERS and bool(_SELECT.fullmatch(value))


def parse_key(value: str | None) -> str | None:
    """Check the idempotency key of a header; None: there is none.

    Raises:
        RequestError: the key is not printable ASCII, or too long.
    """
    if value is None or (len(value) <= _MOST_KEY_CHARACTERS and _KEY.fullmatch(value)):
        return value
    raise RequestError(f"Idempotency-Key must be printable ASCII, {_MOST_KEY_CHARACTERS} characters at most")


def answering_run(request: RunRequest, keyed: Run | None, queued: Sequence[Run]) -> Run | None:
    """The existing run that answers a request; None: it needs a new run.

    A waiting run will see all present rows of ``raw``, so an equal request gets the same run. A run that has
    begun may have read its tables already, so an equal request gets a new run.

    Args:
        request: what is asked for.
        keyed: the last run that the request's idempotency key got; None: there is none.
        queued: the waiting runs.

    Raises:
        KeyReusedError: the key's run has another request.
        QueueFullError: a new run is needed, and too many are waiting.
    """
    if keyed is not None and keyed.request != request:
        raise KeyReusedError
    if keyed is not None and not keyed.status.worth_another_attempt:
        return keyed
    for run in queued:
        if run.request == request:
            return run
    if len(queued) >= MOST_QUEUED:
        raise QueueFullError
    return None


def node_results(run_results: dict[str, Any], manifest: Mapping[str, Any] | None = None) -> list[NodeResult]:
    """The results of models, tests and other nodes in ``run_results.json``, without exposures.

    Args:
        run_results: the parsed artefact.
        manifest: the parsed ``manifest.json``, which says what each test checks.
    """
    nodes = (manifest or {}).get("nodes", {})
    found = [
        _node(one, one["execution_time"], _subject(nodes.get(one["unique_id"], {})))
        for one in run_results["results"]
    ]
    return [one for one in found if one.resource_type != "exposure"]


def source_results(sources: dict[str, Any]) -> list[NodeResult]:
    """The results of the sources' freshness in ``sources.json``."""
    return [_node(one, one.get("execution_time") or 0.0) for one in sources["results"]]


def _subject(node: Mapping[str, Any]) -> str:
    """What a test checks: the model that it belongs to, or else everything that it reads."""
    if node.get("resource_type") != "test":
        return ""
    attached = node.get("attached_node")
    looked_at = [attached] if attached else node["depends_on"]["nodes"]
    return ", ".join(unique_id.partition(".")[2].partition(".")[2] for unique_id in looked_at)


def _node(one: dict[str, Any], seconds: float, subject: str = "") -> NodeResult:
    unique_id = one["unique_id"]
    resource_type, _, name, *rest = unique_id.split(".")
    message = one.get("message") or one.get("error")
    return NodeResult(
        unique_id=unique_id,
        name=".".join((name, *rest)) if resource_type in ("source", "unit_test") else name,
        resource_type=resource_type,
        status=str(one["status"]),
        message=str(message)[:_MOST_MESSAGE_CHARACTERS] if message else None,
        failures=one.get("failures"),
        seconds=round(float(seconds), 3),
        subject=subject,
    )


def describe_failures(results: Sequence[NodeResult]) -> str | None:
    """A text that says which nodes failed and were skipped; None: nothing failed."""
    failed = [one for one in results if one.failed]
    if not failed:
        return None
    sentences = []
    for kind in dict.fromkeys(one.resource_type for one in failed):
        names = [_described(one) for one in failed if one.resource_type == kind]
        sentences.append(f"{len(names)} {kind}{'s' * (len(names) > 1)} failed: {_listed(names)}")
    if skipped := [one.name for one in results if one.status == "skipped" and one.resource_type == "model"]:
        sentences.append(f"skipped for it: {_listed(skipped)}")
    return "; ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


def _described(one: NodeResult) -> str:
    name = f"{one.name} on {one.subject}" if one.subject else one.name
    if one.status == "fail" and one.failures is not None:
        return f"{name} ({one.failures} row{'s' * (one.failures != 1)})"
    lines = [line.strip() for line in (one.message or "").splitlines() if line.strip()]
    # "Database Error in model ratings (models/...)" says nothing that the name does not
    reason = next((line for line in lines if not line.startswith("Database Error in")), "")
    return f"{name} ({reason[:200]})" if reason else name
