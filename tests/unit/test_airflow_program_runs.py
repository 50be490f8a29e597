"""Programs that a task runs: their words, their results, their end; with real processes."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataflix_airflow.program_runs import ProgramError, program_path, readable, run_program
from support.waiting import wait_until


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a test's programs are found."""
    folder = tmp_path / "envs" / "services" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("DATAFLIX_HOME", str(tmp_path))
    return folder


def write(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport json, os, signal, sys, time\n{body}\n")
    path.chmod(0o755)


def test_returns_the_objects_it_printed_and_logs_its_words(
    programs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = 'print("hello", file=sys.stderr)\nfor word in sys.argv[1:]: print(json.dumps({"word": word}))'
    write(programs, "speaker", body)
    with caplog.at_level(logging.INFO):
        assert run_program("speaker", "a b", "c") == [{"word": "a b"}, {"word": "c"}]
    assert "hello" in caplog.messages


def test_much_on_both_streams_does_not_block(programs: Path) -> None:
    body = 'for _ in range(3000): print("x" * 100, file=sys.stderr); print(json.dumps({"x": "y" * 100}))'
    write(programs, "chatter", body)
    assert len(run_program("chatter")) == 3000


def test_a_failure_quotes_its_last_lines(programs: Path) -> None:
    write(programs, "failing", 'for n in range(50): print("line", n, file=sys.stderr)\nsys.exit(3)')
    with pytest.raises(ProgramError, match=r"failing exited with 3:\n(?s:.*)line 49") as caught:
        run_program("failing")
    assert "line 1\n" not in str(caught.value)


def test_says_by_which_signal_it_ended(programs: Path) -> None:
    write(programs, "dying", "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ProgramError, match="killed by SIGKILL"):
        run_program("dying")


@pytest.mark.parametrize("body", ["pass", 'print("no JSON")', "print([1])"])
def test_what_is_no_object_is_refused(programs: Path, body: str) -> None:
    write(programs, "mumbling", body)
    with pytest.raises(ProgramError, match="printed no JSON"):
        run_program("mumbling")


def test_a_program_that_is_nowhere() -> None:
    with pytest.raises(ProgramError, match="run scripts/envs"):
        program_path("no-such-program-of-ours")


def test_structured_lines_become_readable() -> None:
    line = '{"event": "loaded", "level": "warning", "rows": 3, "timestamp": "now", "service": "x"}'
    assert readable(line) == (logging.WARNING, "loaded rows=3")
    for other in ("plain words", "3", '{"event": "no level"}', '{"level": 3, "event": ""}'):
        assert readable(other) == (logging.INFO, other)


def sleeper(programs: Path, tmp_path: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """A process that runs a program which writes its number down and sleeps: both."""
    mark = tmp_path / "pid"
    body = f'open({str(mark)!r}, "w").write(f"{{os.getpid()}} ")\ntime.sleep(600)'
    write(programs, "sleeper", body)
    code = "from dataflix_airflow.program_runs import run_program; run_program('sleeper')"
    runner = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    wait_until(lambda: mark.exists() and mark.read_text().endswith(" "), "the program is at work")
    return runner, int(mark.read_text())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # killed, and nobody may have asked after it yet
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_sigterm_ends_the_program_too(programs: Path, tmp_path: Path) -> None:
    runner, pid = sleeper(programs, tmp_path)
    runner.terminate()
    _, words = runner.communicate(timeout=30)
    assert gone(pid)
    assert runner.returncode == 1
    assert b"ProgramStoppedError" in words


def test_a_program_that_will_not_end_is_killed(programs: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f'open({str(mark)!r}, "w").write(f"{{os.getpid()}} ")\ntime.sleep(600)'
    )
    write(programs, "stubborn", body)
    code = "from dataflix_airflow.program_runs import run_program; run_program('stubborn')"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as runner:
        wait_until(lambda: mark.exists() and mark.read_text().endswith(" "), "the program is at work")
        runner.terminate()
        assert runner.wait(timeout=30) == 1
    assert gone(int(mark.read_text()))


def test_the_program_dies_with_a_runner_that_is_killed(programs: Path, tmp_path: Path) -> None:
    runner, pid = sleeper(programs, tmp_path)
    runner.send_signal(signal.SIGKILL)
    runner.communicate(timeout=30)
    wait_until(lambda: gone(pid), "the program is gone")
