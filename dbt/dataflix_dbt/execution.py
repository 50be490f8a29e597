"""Run dbt once, as a child process, and read what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflix_contract import Settings
from dataflix_dbt import clickhouse_access
from dataflix_dbt.folders import PROJECT, Folders
from dataflix_dbt.results import describe_failures, node_results, source_results
from dataflix_dbt.runs import NodeResult, Run, Status

#: A run that takes longer hangs.
LONGEST_RUN_SECONDS = 3600
_POLL_SECONDS = 0.1
_STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    status: Status
    error: str | None
    results: tuple[NodeResult, ...]


def execute(run: Run, folders: Folders, settings: Settings, stopping: threading.Event) -> Outcome:
    """Run dbt to its end, or stop it when ``stopping`` is set.

    The calling thread has to live as long as dbt does: the kernel kills dbt when it ends.

    Raises:
        OSError: the process cannot be started, or its files cannot be read.
    """
    with folders.log(run.id).open("ab") as log:
        process = subprocess.Popen(
            _command(run, folders),
            env=os.environ | clickhouse_access.dbt_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
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
    """Wait for the end; what ended it if it was not dbt itself."""
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
    """End dbt at once: marts are built aside, so that nothing is left half-done."""
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


def _reason(results: tuple[NodeResult, ...], log: Path, settings: Settings) -> str:
    """Why a run failed, with what to do about it where that is known."""
    what = describe_failures(results) or _last_line(log)
    try:
        clickhouse_access.check(settings)
    except clickhouse_access.UnreachableError as fault:
        return f"{fault}. Start it and ask again, the next run builds everything anew ({what})"
    return what


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "dbt said nothing")
