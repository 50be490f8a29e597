"""Every program of bin/ works where the stack runs in containers, or says what to use instead."""

import os
import subprocess
from pathlib import Path

import pytest

from dataflix_contract.programs import folder_of, folders, programs
from support.containers import COMPOSE_FILE, Compose
from support.dockerfiles import images
from support.readers import programs as starts
from support.readers import settings_read
from support.stack import ROOT

COMPOSE = Compose.of(COMPOSE_FILE.read_text(encoding="utf-8"), {})
PROGRAMS = sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_symlink())
#: The folders of the programs that ./run.sh --compose installs on this machine.
HERE = folders(["checker", "cli"])
#: Read by modules that a program imports, and never by the program in a container.
UNREAD = {"kafka_user", "kafka_password", "kafka_ca_file", "clickhouse_cluster"}


def table() -> dict[str, list[str]]:
    text = (ROOT / "scripts/contained").read_text(encoding="utf-8").split("\ncontained='\n")[1]
    return {words[0]: words[1:] for line in text.partition("\n'")[0].splitlines() if (words := line.split())}


def package_of(program: str) -> str:
    return folder_of(programs()[program])


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_has_a_place_in_both_ways(program: str) -> None:
    if program not in table():
        assert package_of(program) in HERE
        return
    how, where, *rest = table()[program]
    if how == "here":
        assert package_of(where) in HERE
    elif how != "instead":
        assert not rest
        assert package_of(program) in folders(images()[COMPOSE.target(where)].extras)


@pytest.mark.parametrize(
    "program", [name for name, (how, *_) in table().items() if how in {"run", "exec", "files"}]
)
def test_its_container_has_the_settings_that_it_reads(program: str) -> None:
    _, service = table()[program]
    given = {name.removeprefix("DATAFLIX_").lower() for name in COMPOSE.services[service]["environment"]}
    withheld = (
        {"postgres_admin_user", "postgres_admin_password", "profile"}
        if service == "airflow-scheduler"
        else set()
    )
    assert settings_read([starts()[program]]) - given - UNREAD - withheld == set()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``docker`` in whose project two containers run, and that writes down what else it is asked."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    calls = tmp_path / "calls"
    program.write_text(
        f"""#!/bin/sh
shift 9
case "$*" in
"ps --services") printf 'masker-0\\npostgres\\n' ;;
*) printf '%s\\n' "$@" >{calls}; exit 7 ;;
esac
"""
    )
    program.chmod(0o755)
    settings = tmp_path / "some.env"
    settings.write_text("DATAFLIX_PROFILE=core\n")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(settings))
    monkeypatch.chdir(tmp_path)
    return calls


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bin" / program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_program_of_a_running_container_runs_in_it(docker: Path) -> None:
    assert run("dataflix-dlq", "list", "two words").returncode == 7
    program = "/app/.dataflix/envs/services/bin/dataflix-dlq"
    assert docker.read_text().splitlines() == ["exec", "-T", "masker-0", program, "list", "two words"]


def test_a_program_without_its_container_says_why(docker: Path) -> None:
    done = run("dataflix-train")
    assert done.returncode == 1
    assert "the container airflow-scheduler, which is not running" in done.stderr
    assert "DATAFLIX_PROFILE=core" in done.stderr
    assert not docker.exists()


def test_a_program_that_is_not_for_containers_says_what_is(docker: Path) -> None:
    done = run("dataflix-stack", "stop", "masker-0")
    assert done.returncode == 1
    assert "scripts/compose" in done.stderr
    assert not docker.exists()


def test_files_are_mounted_for_the_user_who_calls(docker: Path, tmp_path: Path) -> None:
    (tmp_path / "ml latest").mkdir()
    assert run("dataflix-import", "ml latest", "--replace", "--rejects", "bad.csv").returncode == 7
    folder = tmp_path.resolve()
    assert docker.read_text().splitlines() == [
        *("--progress", "quiet", "run", "--rm", "--no-deps", "-T"),
        *("--user", f"{os.getuid()}:{os.getgid()}"),
        *("--volume", f"{folder}/ml latest:{folder}/ml latest:ro", "--volume", f"{folder}:{folder}"),
        *("seed", "/app/.dataflix/envs/services/bin/dataflix-import"),
        *(f"{folder}/ml latest", "--replace", "--rejects", f"{folder}/bad.csv"),
    ]


def test_a_file_that_cannot_be_mounted_is_refused(docker: Path, tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    done = run("dataflix-import", "a:b")
    assert done.returncode == 2
    assert "without a colon" in done.stderr
    assert not docker.exists()
