"""Records of processes, and PostgreSQL's stale lock file."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataflix_stack import launch, supervision


def test_finds_the_recorded_process(tmp_path: Path) -> None:
    launch.record(tmp_path, "kafka", os.getpid())
    assert supervision.recorded(tmp_path, "kafka") == os.getpid()
    assert supervision.all_recorded(tmp_path) == {"kafka": os.getpid()}


def test_another_process_with_the_same_number_is_not_it(tmp_path: Path) -> None:
    entry = {"pid": os.getpid(), "identity": "earlier boot:1"}
    (tmp_path / "kafka.process.json").write_text(json.dumps(entry))
    assert supervision.recorded(tmp_path, "kafka") is None


def test_a_dead_process_and_no_record(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    launch.record(tmp_path, "kafka", process.pid)
    process.wait()
    assert supervision.recorded(tmp_path, "kafka") is None
    assert supervision.recorded(tmp_path, "postgres") is None


def test_orphans_are_stopped_and_the_supervisor_is_not_one(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    launch.record(tmp_path, "kafka", sleeper.pid)
    launch.record(tmp_path, supervision.SUPERVISOR, os.getpid())
    told: list[str] = []
    supervision.stop_recorded(tmp_path, told.append)
    sleeper.wait(timeout=10)
    assert launch.identity(sleeper.pid) is None
    assert len(told) == 1


def test_a_stale_postmaster_file_goes_and_a_used_one_stays(tmp_path: Path) -> None:
    lock = tmp_path / "postmaster.pid"
    lock.touch()
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as child:
        launch.forget_stale_postmaster(tmp_path.resolve())
        assert lock.exists()
        child.kill()
    launch.forget_stale_postmaster(tmp_path.resolve())
    assert not lock.exists()


@contextmanager
def _marked(mark: str, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the service ``mark``, once it has said that it is ready; killed at the end."""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, launch.MARK: mark}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


DETACHED_CHILD = """
import subprocess, time
subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
print("ready", flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def test_children_of_a_killed_server_are_found_and_ended(tmp_path: Path) -> None:
    mark = supervision.mark(tmp_path, "mlflow")
    with _marked(mark, DETACHED_CHILD) as server:
        server.kill()
        server.wait()
        assert len(launch.family(mark)) == 1
        assert launch.end_family(mark) == 1
        assert launch.family(mark) == []


def test_who_ignores_the_request_is_killed_and_others_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.2)
    mine, other = supervision.mark(tmp_path, "mlflow"), supervision.mark(tmp_path, "mlflow-2")
    with _marked(mine, DEAF) as deaf, _marked(other, DEAF) as neighbour:
        launch.end_family(mine)
        assert deaf.wait(timeout=10) == -signal.SIGKILL
        assert neighbour.poll() is None
