"""Run a program of another environment as part of a task: its messages are logged, its JSON is returned."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dataflix_contract.programs import die_with_parent, find_program

log = logging.getLogger(__name__)

_LINES_QUOTED = 8
#: Fields of a program's log line that the task's own log already has.
_NOT_TOLD = frozenset({"timestamp", "logger", "service"})
_STOP_SECONDS = 4.0  # Airflow kills a task 5 s after it has asked it to end


class ProgramError(Exception):
    """A program is not installed, failed, or did not print the expected JSON."""


class ProgramStoppedError(Exception):
    """The task was told to end while its program ran; the program was stopped."""


def program_path(name: str) -> str:
    """Find a program in the environment that has it, or else on PATH (as ``bin/_exec`` does).

    Raises:
        ProgramError: it is not installed.
    """
    home = Path(os.environ.get("DATAFLIX_HOME", ".dataflix"))
    if found := find_program(name, home, os.environ.get("PATH", "")):
        return found
    raise ProgramError(f"{name} is not installed: run scripts/envs, or set DATAFLIX_HOME to the environments")


def run_program(name: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a program to its end and return the JSON objects that it printed, one on each line.

    Raises:
        ProgramError: the program failed (the message has its last lines) or printed something else.
        ProgramStoppedError: this process got SIGTERM; the program was stopped.
    """
    return _objects(name, run_command(name, *arguments))


def run_command(name: str, *arguments: str) -> str:
    """Run a program to its end and return what it printed.

    The lines that it writes to stderr are logged. If this process is told to end, times out or is killed, the
    program ends too.

    Raises:
        ProgramError: the program failed; the message has its last lines.
        ProgramStoppedError: this process got SIGTERM; the program was stopped.
    """
    argv = [program_path(name), *arguments]
    log.info("running %s", " ".join([name, *arguments]))
    with _started(argv) as process, _ended_by_sigterm(name):
        output = _Output(process)
        last = deque(_words(process), maxlen=_LINES_QUOTED)
        printed = output.text()
        code = process.wait()
    if code:
        told = "\n".join(last) or "it said nothing"
        raise ProgramError(f"{name} {_how_it_ended(code)}:\n{told}")
    return printed


class _Output(threading.Thread):
    """Reads the program's stdout in a thread, so that the program never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(name="stdout", daemon=True)
        self._process = process
        self._text = ""
        self.start()

    def run(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._text = self._process.stdout.read()

    def text(self) -> str:
        """Everything that the program printed, once it has closed its stdout."""
        self.join()
        return self._text


@contextmanager
def _started(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        # prctl must run in the child; it needs no lock that another thread could hold
        preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
    )
    with process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def _ended_by_sigterm(name: str) -> Iterator[None]:
    """Turn SIGTERM into an exception; with Airflow's own handler, the work would go on until it is killed."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise ProgramStoppedError(f"the task was told to end: {name} is stopped")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _words(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    for raw in process.stderr:
        if line := raw.rstrip():
            level, words = readable(line)
            log.log(level, "%s", words)
            yield words


def readable(line: str) -> tuple[int, str]:
    """The level and text of a line that a program logged; of a structured line, its event and values."""
    try:
        entry = json.loads(line)
        event, level = entry.pop("event"), logging.getLevelNamesMapping()[entry.pop("level").upper()]
    except (ValueError, TypeError, AttributeError, KeyError):
        return logging.INFO, line
    values = (f"{name}={value}" for name, value in entry.items() if name not in _NOT_TOLD)
    return level, " ".join([str(event), *values])


def _how_it_ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


def _objects(name: str, printed: str) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in printed.splitlines() if line.strip()]
    except ValueError as error:
        raise ProgramError(f"{name} printed no JSON: {error}") from error
    if not found or not all(isinstance(one, dict) for one in found):
        raise ProgramError(f"{name} printed no JSON object")
    return found
