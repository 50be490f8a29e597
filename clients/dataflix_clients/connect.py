"""Kafka Connect: its REST interface, as far as one connector needs it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from dataflix_clients.http_client import http, open_client, parsed
from dataflix_contract import Settings
from dataflix_contract.faults import Fault, cannot_use
from dataflix_contract.polling import poll
from dataflix_contract.schema import CONNECTOR

_PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
_REQUEST_TIMEOUT_S = 30.0
#: How long an answer may take: whoever looks at a status does not want to wait.
_LOOK_S = 3.0
_PATIENCE_S = 60.0
_POLL_S = 0.2
_TRACE_CHARACTERS = 300
# Debezium's and PostgreSQL's words for offsets that the slot cannot continue from.
_POSITION_GONE = ("no longer available on the server", "Cannot seek to the last known offset")


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """The connector's state and its task's, in Connect's own words.

    Attributes:
        connector: ``RUNNING``, ``STOPPED``, … or ``ABSENT``.
        task: ``RUNNING``, ``FAILED``, … or ``ABSENT``.
        reason: why it failed, one line.
        position_gone: it failed because the slot cannot give what follows its offsets.
    """

    connector: str
    task: str
    reason: str = ""
    position_gone: bool = False

    @property
    def running(self) -> bool:
        """Whether Connect believes that all is well: it may still not stream."""
        return self.connector == self.task == "RUNNING"

    @property
    def failed(self) -> bool:
        """Whether it has given up and waits for somebody to restart it."""
        return "FAILED" in (self.connector, self.task)

    @property
    def description(self) -> str:
        """The states in words, with the reason of a failure."""
        words = f"connector {self.connector}, task {self.task}"
        return f"{words}: {self.reason}" if self.reason else words


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far the connector has come, by what Connect has stored."""

    stored: bool
    snapshotting: bool

    @property
    def settled(self) -> bool:
        """Whether a snapshot has been finished: from here on it only streams."""
        return self.stored and not self.snapshotting


@dataclass(frozen=True, slots=True)
class Connector:
    """The connector and its task as Kafka Connect sees them, and how far it has come."""

    status: ConnectorStatus
    offsets: Offsets


class ConnectClient:
    """Talks to one Kafka Connect about one connector; a context manager.

    Args:
        settings: where Connect is.
        patience_s: how long to wait for Connect when it does not answer.
        answer_s: how long one answer may take.
    """

    def __init__(
        self, settings: Settings, patience_s: float = _PATIENCE_S, answer_s: float = _REQUEST_TIMEOUT_S
    ) -> None:
        self._url = settings.connect_url
        self._patience_s = patience_s
        self._http = open_client(self._url, answer_s)
        self._path = f"/connectors/{CONNECTOR}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def config(self) -> dict[str, str] | None:
        """The configuration in use, or nothing when the connector does not exist."""
        answer = self._ask("GET", f"{self._path}/config", missing_ok=True)
        return None if answer is None else dict(answer)

    def create_stopped(self, config: Mapping[str, str]) -> None:
        """Create the connector without starting it (KIP-980), so that its old offsets can be seen."""
        body = {"name": CONNECTOR, "config": dict(config), "initial_state": "STOPPED"}
        self._ask("POST", "/connectors", body)

    def put_config(self, config: Mapping[str, str]) -> None:
        """Create the connector or give it another configuration."""
        self._ask("PUT", f"{self._path}/config", dict(config))

    def status(self) -> ConnectorStatus:
        """What Connect says about the connector and its only task."""
        answer = self._ask("GET", f"{self._path}/status", missing_ok=True)
        return parse_status(answer)

    def stop(self) -> None:
        """Stop the connector and wait until its task is gone."""
        self._ask("PUT", f"{self._path}/stop")
        wait_for(self._is_stopped, _PATIENCE_S, "Kafka Connect does not stop the connector")

    def resume(self) -> None:
        """Start a stopped connector."""
        self._ask("PUT", f"{self._path}/resume")

    def restart_failed(self) -> None:
        """Restart the parts of the connector that have failed."""
        self._ask("POST", f"{self._path}/restart?includeTasks=true&onlyFailed=true")

    def offsets(self) -> Offsets:
        """How far the connector has come."""
        return parse_offsets(self._ask("GET", f"{self._path}/offsets", missing_ok=True))

    def delete_offsets(self) -> None:
        """Forget how far it has come (KIP-875); it must be stopped."""
        self._ask("DELETE", f"{self._path}/offsets")

    def _is_stopped(self) -> bool:
        status = self.status()
        return status.connector == "STOPPED" and status.task == "ABSENT"

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_ok: bool = False
    ) -> Any:
        """One request; waits while Connect starts or its workers rebalance."""
        deadline = time.monotonic() + self._patience_s
        while True:
            answer = self._try(method, path, body)
            if method == "POST" and _exists(answer):
                return {}  # made by an earlier try, whose answer came too late
            if isinstance(answer, httpx.Response) and not _passing(answer, missing_ok=missing_ok):
                return self._read(answer, missing_ok=missing_ok)
            if time.monotonic() > deadline:
                raise Fault(cannot_use("Kafka Connect", self._url, _refusal_reason(answer)))
            time.sleep(_POLL_S)

    def _try(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            return error

    def _read(self, answer: httpx.Response, *, missing_ok: bool) -> Any:
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise Fault(f"Kafka Connect refuses: {_refusal_reason(answer)}")
        return parsed(answer) if answer.content else {}


def check(settings: Settings) -> None:
    """Check that the worker has joined its group and offers Debezium.

    Raises:
        httpx.HTTPError: it does not answer, or is not ready.
        LookupError: it does not offer Debezium, or another server answers.
    """
    http.get(f"{settings.connect_url}/health").raise_for_status()
    plugins = http.get(f"{settings.connect_url}/connector-plugins").raise_for_status()
    if not any(plugin["class"] == _PLUGIN for plugin in parsed(plugins)):
        raise LookupError("Kafka Connect does not offer Debezium's PostgreSQL connector")


def read_connector(settings: Settings) -> Connector:
    """Ask once for the connector's state and offsets.

    Raises:
        Fault: Connect does not answer.
        LookupError: another server answers.
    """
    with ConnectClient(settings, patience_s=0, answer_s=_LOOK_S) as connect:
        return Connector(connect.status(), connect.offsets())


def wait_for(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    """Poll until the condition holds.

    Raises:
        Fault: it did not hold in time; the message is the complaint.
    """
    if not poll(condition, timeout_s, _POLL_S):
        raise Fault(f"{complaint} (waited {timeout_s:.0f} s)")


def parse_status(answer: Mapping[str, Any] | None) -> ConnectorStatus:
    """Read Connect's answer about a connector; ``None`` means that there is none."""
    if answer is None:
        return ConnectorStatus("ABSENT", "ABSENT")
    tasks = answer["tasks"]
    trace = next((part["trace"] for part in (*tasks, answer["connector"]) if part.get("trace")), "")
    task = tasks[0]["state"] if tasks else "ABSENT"
    position_gone = any(sign in trace for sign in _POSITION_GONE)
    return ConnectorStatus(answer["connector"]["state"], task, first_cause(trace), position_gone)


def parse_offsets(answer: Mapping[str, Any] | None) -> Offsets:
    """Read Connect's answer about a connector's offsets."""
    stored = [entry["offset"] for entry in (answer or {}).get("offsets", []) if entry.get("offset")]
    snapshotting = any(offset.get("snapshot") and not offset.get("snapshot_completed") for offset in stored)
    return Offsets(stored=bool(stored), snapshotting=snapshotting)


def first_cause(trace: str) -> str:
    """The one line of a Java stack trace that says what happened: its innermost cause."""
    lines = [line.strip() for line in trace.splitlines()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or [""])[-1 if causes else 0][:_TRACE_CHARACTERS]


def _passing(answer: httpx.Response, *, missing_ok: bool) -> bool:
    """Whether waiting may change the answer: after a rebalance or a start, or when a leader is back."""
    if answer.status_code == httpx.codes.NOT_FOUND:
        return not missing_ok
    return answer.status_code in (httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE) or (
        answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR
    )


def _exists(answer: httpx.Response | httpx.TransportError) -> bool:
    """Whether Connect refuses to create a connector because it exists already."""
    return (
        isinstance(answer, httpx.Response)
        and answer.status_code == httpx.codes.CONFLICT
        and "already exists" in _refusal_reason(answer)
    )


def _refusal_reason(answer: httpx.Response | httpx.TransportError) -> str:
    if isinstance(answer, httpx.TransportError):
        return str(answer) or type(answer).__name__
    try:
        return str(answer.json()["message"]).splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"HTTP {answer.status_code}"
