"""Records of processes, and PostgreSQL's stale lock file."""

import json
import os
import subprocess
import sys
from pathlib import Path

from dataflix_stack import launch, processes


def test_finds_the_recorded_process(tmp_path: Path) -> None:
    launch.record(tmp_path, "kafka", os.getpid())
    assert processes.recorded(tmp_path, "kafka") == os.getpid()
    assert processes.all_recorded(tmp_path) == {"kafka": os.getpid()}


def test_another_process_with_the_same_number_is_not_it(tmp_path: Path) -> None:
    entry = {"pid": os.getpid(), "identity": "earlier boot:1"}
    (tmp_path / "kafka.process.json").write_text(json.dumps(entry))
    assert processes.recorded(tmp_path, "kafka") is None


def test_a_dead_process_and_no_record(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    launch.record(tmp_path, "kafka", process.pid)
    process.wait()
    assert processes.recorded(tmp_path, "kafka") is None
    assert processes.recorded(tmp_path, "postgres") is None


def test_orphans_are_stopped_and_the_supervisor_is_not_one(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    launch.record(tmp_path, "kafka", sleeper.pid)
    launch.record(tmp_path, processes.SUPERVISOR, os.getpid())
    told: list[str] = []
    processes.stop_recorded(tmp_path, told.append)
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
