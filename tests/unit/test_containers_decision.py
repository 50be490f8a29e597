"""Whether the containers' test runs is decided by what changed and what there is, and the reason is told."""

import os
import subprocess
import sys
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from containers.decision import MADE_OF
from support.stack import ROOT


def decided(folder: Path, **environ: str) -> tuple[int, str]:
    """The decision's exit code and sentence, in a repository that the test made."""
    done = subprocess.run(
        [sys.executable, "-m", "containers.decision"],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder / "tests"),
            "DATAFLIX_HOME": str(folder / "home"),
            **environ,
        },
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, of which the last one changed nothing that containers are made of."""
    (tmp_path / "tests/containers").mkdir(parents=True)
    for name in ("decision.py", "engine.py"):
        (tmp_path / "tests/containers" / name).write_bytes((ROOT / "tests/containers" / name).read_bytes())
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / ".gitignore").write_text("home\n__pycache__\n")
    git(tmp_path, "init", "--initial-branch=main")
    for name in ("README.md", "backend.py"):
        (tmp_path / name).write_text(name)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--message=one more file")
    return tmp_path


def test_without_a_change_of_what_they_are_made_of_it_does_not_run(repository: Path) -> None:
    code, told = decided(repository)
    assert code == 1
    assert "nothing that containers are made of has changed since" in told


def test_a_change_in_the_working_tree_counts(repository: Path) -> None:
    (repository / "docker-compose.yml").write_text("services: {a: b}\n")
    code, told = decided(repository)
    assert "docker-compose.yml has changed since" in told
    assert code in {0, 1}  # by whether an engine can be had here


def test_a_change_on_the_branch_counts_since_it_left_main(repository: Path) -> None:
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    (repository / "run.sh").write_text("#!/bin/sh\n")
    git(repository, "add", ".")
    git(repository, "commit", "--message=a start")
    (repository / "other.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--message=something else")
    assert "run.sh has changed since" in decided(repository)[1]


@pytest.mark.parametrize(("wish", "code", "told"), [("1", 0, "runs: "), ("0", 1, "does not run: ")])
def test_a_wish_decides(repository: Path, wish: str, code: int, told: str) -> None:
    found = decided(repository, DATAFLIX_TEST_CONTAINERS=wish)
    assert found[0] == code
    assert told in found[1]


def test_every_pattern_fits_a_file() -> None:
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [pattern for pattern in MADE_OF if not filter_names(paths, pattern)] == []
