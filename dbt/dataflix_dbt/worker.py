"""The thread that runs dbt, one run after the other, each in a child process, and counts the outcomes."""

from __future__ import annotations

import contextvars
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dataflix_contract import Settings
from dataflix_dbt.project import PROJECT, Folders, UnreachableError, check_clickhouse, dbt_environment
from dataflix_dbt.run_store import Store
from dataflix_dbt.runs import NodeResult, Run, Status, describe_failures, node_results, source_results

#: A run that takes longer is taken to hang, and is stopped.
LONGEST_RUN_SECONDS = 3600
_POLL_SECONDS = 0.1
_STOP_SECONDS = 5
#: How many runs are kept, with their logs.
KEPT_RUNS = 500
_LOCK_SECONDS = 20
_IDLE_SECONDS = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    status: Status
    error: str | None
    results: tuple[NodeResult, ...]


def _execute(run: Run, folders: Folders, settings: Settings, stopping: threading.Event) -> Outcome:
    """Run dbt to its end, or stop it when ``stopping`` is set.

    The calling thread must live as long as dbt: the kernel kills dbt when the thread ends.

    Raises:
        OSError: the process cannot be started, or its files cannot be read.
    """
    with folders.log(run.id).open("ab") as printed:
        process = subprocess.Popen(
            _command(run, folders),
            env=os.environ | dbt_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            cwd=folders.root,
            start_new_session=True,
        )
    ended_because = _wait(process, stopping)
    results = _results(folders)
    if ended_because is not None:
        return Outcome(*ended_because, results)
    if process.returncode == 0:
        return Outcome(Status.SUCCEEDED, None, results)
    if process.returncode < 0:
        return Outcome(Status.FAILED, f"dbt was killed by signal {-process.returncode}: ask again", results)
    return Outcome(Status.FAILED, _reason(results, folders.log(run.id), settings), results)


def _command(run: Run, folders: Folders) -> list[str]:
    command = [sys.executable, "-m", "dataflix_dbt.job", f"--parent={os.getpid()}", f"--project={PROJECT}"]
    command += [f"--target={folders.target}", f"--docs-target={folders.docs_target}"]
    command += [f"--docs-page={folders.docs_page}", f"--lock={folders.job_lock}"]
    if run.request.select:
        command.append(f"--select={run.request.select}")
    if run.request.full_refresh:
        command.append("--full-refresh")
    return command


def _wait(process: subprocess.Popen[bytes], stopping: threading.Event) -> tuple[Status, str] | None:
    """Wait until dbt ends. None: it ended by itself; otherwise the run's state and why it was stopped."""
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    while process.poll() is None:
        if stopping.wait(_POLL_SECONDS):
            _stop(process)
            return Status.INTERRUPTED, "the server was stopped meanwhile: ask again"
        if time.monotonic() > deadline:
            _stop(process)
            return Status.FAILED, f"stopped after {LONGEST_RUN_SECONDS} s: see the log for where it hung"
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End dbt at once. Marts are built beside the old ones, so that none is left half-done."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _results(folders: Folders) -> tuple[NodeResult, ...]:
    sources, nodes, manifest = (
        _artefact(folders.target / name) for name in ("sources.json", "run_results.json", "manifest.json")
    )
    return (*(source_results(sources) if sources else ()), *(node_results(nodes, manifest) if nodes else ()))


def _artefact(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


def _reason(results: tuple[NodeResult, ...], printed: Path, settings: Settings) -> str:
    """Why a run failed, and, if ClickHouse cannot be reached, what to do about it."""
    what = describe_failures(results) or _last_line(printed)
    try:
        check_clickhouse(settings)
    except UnreachableError as fault:
        return f"{fault}. Start it and ask again, the next run builds everything anew ({what})"
    return what


def _last_line(printed: Path) -> str:
    lines = [line.strip() for line in printed.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "dbt said nothing")


class Metrics:
    """The metrics of the server, in their own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.runs = Counter("dbt_runs", "Runs that ended.", ["status"], registry=self._registry)
        self.nodes = Counter(
            "dbt_nodes", "Models, tests and sources by outcome.", ["type", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "dbt_run_seconds",
            "How long runs took.",
            buckets=[5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600],
            registry=self._registry,
        )
        self.last_success = Gauge(
            "dbt_last_success_timestamp_seconds", "When a run last succeeded.", registry=self._registry
        )
        self.unfinished = Gauge(
            "dbt_runs_unfinished", "Runs that wait or run.", ["status"], registry=self._registry
        )
        for status in Status:
            if status.finished:
                self.runs.labels(status)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Count a run that ended."""
        self.runs.labels(outcome.status).inc()
        self.seconds.observe(seconds)
        for one in outcome.results:
            self.nodes.labels(one.resource_type, one.status).inc()
        if outcome.status is Status.SUCCEEDED:
            self.last_success.set_to_current_time()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class AlreadyServedError(Exception):
    """Another server is using the same files."""


class Worker:
    """Takes waiting runs from the store, and runs dbt for them.

    A lock allows only one worker for a store. It is released when the process ends, even by SIGKILL.
    """

    def __init__(self, store: Store, folders: Folders, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._folders = folders
        self._settings = settings
        self._metrics = metrics
        self._asked = threading.Event()
        self._stopping = threading.Event()
        # with the context from which log lines take the service's name
        work = partial(contextvars.copy_context().run, self._work)
        self._thread = threading.Thread(target=work, name="dbt-runs", daemon=True)
        self._lock = FileLock(folders.server_lock, thread_local=False)

    @property
    def alive(self) -> bool:
        """Whether the thread runs and takes waiting runs."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Mark runs that a dead server left running as interrupted, and start the thread.

        Raises:
            AlreadyServedError: another server is using the same files.
        """
        try:
            self._lock.acquire(_LOCK_SECONDS)
        except Timeout:
            raise AlreadyServedError(f"another server works on {self._folders.root}: stop it first") from None
        for run_id in self._store.interrupt_running("the server died meanwhile: ask again"):
            log.warning("interrupted by the end of the last server", run=run_id)
        self._thread.start()

    def wake(self) -> None:
        """Tell the thread that a run is waiting."""
        self._asked.set()

    def stop(self) -> None:
        """Stop dbt, mark its run interrupted, and return when that is done."""
        self._stopping.set()
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._asked.clear()
                run = self._store.claim()
                if run is None:
                    self._asked.wait(_IDLE_SECONDS)
                else:
                    self._do(run)
        except Exception:
            # The store cannot be used, perhaps because the disk is full: the process ends and is restarted.
            log.exception("cannot work any more: ending, to be started anew")
            os.kill(os.getpid(), signal.SIGTERM)

    def _do(self, run: Run) -> None:
        log.info("run begins", run=run.id, select=run.request.select, full_refresh=run.request.full_refresh)
        began = time.monotonic()
        try:
            outcome = _execute(run, self._folders, self._settings, self._stopping)
        except (OSError, ValueError, LookupError) as fault:  # no process, or broken artefacts
            log.exception("dbt cannot be run")
            outcome = Outcome(Status.FAILED, f"dbt cannot be run: {fault}", ())
        seconds = time.monotonic() - began
        self._store.finish(run.id, outcome.status, outcome.error, outcome.results)
        self._metrics.ended(outcome, seconds)
        log.info(
            "run ended", run=run.id, status=outcome.status, seconds=round(seconds, 1), error=outcome.error
        )
        for old in self._store.prune(KEPT_RUNS):
            self._folders.log(old).unlink(missing_ok=True)
