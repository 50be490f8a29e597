"""The thread that runs dbt, one run after the other."""

from __future__ import annotations

import contextvars
import os
import signal
import threading
import time
from functools import partial

import structlog
from filelock import FileLock, Timeout

from dataflix_contract import Settings
from dataflix_dbt.execution import Outcome, execute
from dataflix_dbt.folders import Folders
from dataflix_dbt.run_metrics import Metrics
from dataflix_dbt.runs import Run, Status
from dataflix_dbt.store import Store

#: Runs that are remembered, with their logs.
KEPT_RUNS = 500
_LOCK_SECONDS = 20
_IDLE_SECONDS = 5

log = structlog.get_logger(__name__)


class AlreadyServedError(Exception):
    """Another server works on the same files."""


class Worker:
    """Takes waiting runs out of the store and has dbt do them.

    One worker at a time works on a store: a lock says so, which a killed server lets go by dying.
    """

    def __init__(self, store: Store, folders: Folders, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._folders = folders
        self._settings = settings
        self._metrics = metrics
        self._asked = threading.Event()
        self._stopping = threading.Event()
        # with the context that log lines take the service's name from
        work = partial(contextvars.copy_context().run, self._work)
        self._thread = threading.Thread(target=work, name="dbt-runs", daemon=True)
        self._lock = FileLock(folders.server_lock, thread_local=False)

    @property
    def alive(self) -> bool:
        """Whether runs are taken."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Mark what a dead server left running, and begin.

        Raises:
            AlreadyServedError: another server works on the same files.
        """
        try:
            self._lock.acquire(_LOCK_SECONDS)
        except Timeout:
            raise AlreadyServedError(f"another server works on {self._folders.root}: stop it first") from None
        for run_id in self._store.interrupt_running("the server died meanwhile: ask again"):
            log.warning("interrupted by the end of the last server", run=run_id)
        self._thread.start()

    def wake(self) -> None:
        """Say that a run waits."""
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
            # The store is out of reach (a full disk, say): what the process knows is worth nothing now.
            log.exception("cannot work any more: ending, to be started anew")
            os.kill(os.getpid(), signal.SIGTERM)

    def _do(self, run: Run) -> None:
        log.info("run begins", run=run.id, select=run.request.select, full_refresh=run.request.full_refresh)
        began = time.monotonic()
        try:
            outcome = execute(run, self._folders, self._settings, self._stopping)
        except (OSError, ValueError, LookupError) as fault:  # no process, or artefacts that are none
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
