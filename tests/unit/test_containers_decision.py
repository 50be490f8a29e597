"""Whether the containers' test runs is decided by what has changed since it passed, and told."""

import os
import subprocess
import sys
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from containers.decision import MADE_OF
from support.stack import ROOT


def decision(repository: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """The program's exit code and what it printed, in a repository that the test made."""
    done = subprocess.run(
        [sys.executable, "-m", "containers.decision", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(repository / "tests"), **environ},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository in which the test has passed."""
    (tmp_path / "tests/containers").mkdir(parents=True)
    for name in ("decision.py", "engine.py"):
        (tmp_path / "tests/containers" / name).write_bytes((ROOT / "tests/containers" / name).read_bytes())
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert decision(tmp_path, "--passed") == (0, "")
    return tmp_path


def test_without_a_change_of_what_they_are_made_of_it_does_not_run(repository: Path) -> None:
    (repository / "README.md").write_text("another file\n")
    code, told = decision(repository)
    assert code == 1
    assert told.startswith("the test of the containers does not run: it has passed with everything")


@pytest.mark.parametrize("name", ["docker-compose.yml", "run.sh", "Dockerfile", "tests/containers/engine.py"])
def test_a_change_of_what_they_are_made_of_counts_until_it_has_passed(repository: Path, name: str) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    with (repository / name).open("a") as file:
        file.write("# changed\n")
    code, told = decision(repository)
    assert code in {0, 1}  # by whether an engine can be had here
    assert "has changed since it passed" in told
    decision(repository, "--passed")
    assert decision(repository)[0] == 1


def test_a_file_that_is_gone_counts(repository: Path) -> None:
    (repository / "docker-compose.yml").unlink()
    assert "has changed since it passed" in decision(repository)[1]


@pytest.mark.parametrize(("wish", "code", "told"), [("1", 0, "runs: "), ("0", 1, "does not run: ")])
def test_a_wish_decides(repository: Path, wish: str, code: int, told: str) -> None:
    found = decision(repository, DATAFLIX_TEST_CONTAINERS=wish)
    assert found[0] == code
    assert told in found[1]


def test_every_pattern_fits_a_file() -> None:
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [pattern for pattern in MADE_OF if not filter_names(paths, pattern)] == []
