"""The images: what the Dockerfile copies, runs and starts, checked and replayed without an engine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataflix_contract import Settings
from dataflix_contract.programs import folder_of, folders, programs
from dataflix_stack import s3_server
from dataflix_stack.paths import home
from support.containers import COMPOSE_FILE, Compose, command_of, environment
from support.dockerfiles import DOCKERFILE, Image, Replay, copied, ignored, images
from support.stack import ROOT

PATTERNS = (ROOT / ".dockerignore").read_text(encoding="utf-8")
COMPOSE = Compose.of(COMPOSE_FILE.read_text(encoding="utf-8"), {})
IMAGES = images()
#: Servers; the others' programs end by themselves.
ANSWERING = {"airflow", "backend", "dbt", "masker", "tracking", "versitygw"}

each = pytest.mark.parametrize("name", IMAGES)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_image_of_ours_is_started() -> None:
    assert {COMPOSE.target(name) for name in COMPOSE.ours} == IMAGES.keys()


def test_each_image_is_built_by_one_service_and_pulled_by_none() -> None:
    """A second build of an image would give it another label, and each start would replace containers."""
    built = [service for service in COMPOSE.ours.values() if "build" in service]
    images = [service["image"] for service in built]
    assert sorted(images) == sorted(set(images))
    assert {service["build"]["context"] for service in built} == {"."}
    others = [service for service in COMPOSE.ours.values() if "build" not in service]
    assert {service["image"] for service in others} <= set(images)
    assert {service["pull_policy"] for service in others} == {"never"}


def test_the_service_that_builds_an_image_is_started_with_those_that_use_it() -> None:
    """``docker compose build`` builds what the chosen profiles start."""
    builders = {service["image"]: service for service in COMPOSE.ours.values() if "build" in service}
    for service in COMPOSE.ours.values():
        assert set(service["profiles"]) <= set(builders[service["image"]]["profiles"])


def test_no_server_keeps_anything_in_a_volume_without_a_name() -> None:
    """The volumes that these images declare, and that nothing of ours is kept in."""
    for name in ("kafka", "kafka-format"):
        assert {"/etc/kafka/secrets", "/mnt/shared/config"} <= set(COMPOSE.services[name]["tmpfs"])
    assert {"/kafka/data", "/kafka/logs", "/kafka/config"} <= set(COMPOSE.services["connect"]["tmpfs"])


@each
def test_what_is_copied_is_there_and_not_ignored(name: str) -> None:
    sources = [*copied(IMAGES[name].build), *copied(IMAGES[name].kept)]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert not ignored(source, PATTERNS)


@pytest.mark.parametrize(
    ("path", "out"),
    [
        (".env", True),
        (".dataflix/stack/conf/kafka.properties", True),
        (".git/config", True),
        ("tests/conftest.py", True),
        ("contract/dataflix_contract/tables.toml", False),
        ("contract/dataflix_contract/__pycache__/settings.cpython-311.pyc", True),
        ("dbt/project/models/sources.yml", False),
        ("dbt/project/target/manifest.json", True),
        ("scripts/envs", False),
    ],
)
def test_only_what_images_need_is_sent_to_the_builder(path: str, out: bool) -> None:
    assert ignored(path, PATTERNS) is out


@each
def test_an_image_is_small_and_without_root(name: str) -> None:
    kept = IMAGES[name].kept
    assert kept.base == "python:3.11.15-slim-bookworm"
    assert kept.last("USER").text == "10001"
    [taken] = [one for one in kept.all("COPY") if one.flags]
    assert taken.flags == (f"--from=build-{name}",)


@each
def test_an_image_has_the_folders_that_its_extras_are_built_on(name: str) -> None:
    extras = IMAGES[name].extras
    found = {source for source in copied(IMAGES[name].build) if list((ROOT / source).glob("dataflix_*"))}
    assert found == (folders(extras) if extras else set())


@each
def test_an_image_that_serves_has_a_health_check(name: str) -> None:
    kept = IMAGES[name].kept
    check = kept.last("HEALTHCHECK").text
    if name not in ANSWERING:
        assert check == "NONE"
        return
    probe = json.loads(check.removeprefix("CMD "))
    assert probe[:3] == ["python3", "-I", "scripts/healthcheck"]
    defaults = environment(Settings())
    ports = {name: value for name, value in kept.environment.items() if name.endswith("_PORT")}
    assert ports == {name: defaults[name] for name in ports}
    assert any(f"http://127.0.0.1:${name}/" in probe[3] for name in ports)


@each
def test_what_an_image_starts_is_a_program_of_its_extras(name: str) -> None:
    program = json.loads(IMAGES[name].kept.one("CMD").text)[0]
    if program in {"python", "versitygw"}:
        return
    assert folder_of(programs()[program]) in folders(IMAGES[name].extras)
    assert any(command_of(service)[0] == program for service in COMPOSE.ours.values())


@each
def test_the_build_steps_work_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    image = IMAGES[name]
    replay = Replay(image, tmp_path)
    variables = {}
    if name == "versitygw":
        _need_go()
    else:
        # as in the image, but for what only takes time: compiling, and copying out of uv's cache
        variables = {
            "UV_COMPILE_BYTECODE": "0",
            "UV_LINK_MODE": "hardlink",
            "DATAFLIX_PYTHON": _base_python(),
        }
        if name != "postgres":  # one of them installs uv too
            envs = replay.path("/app/.dataflix/envs")
            envs.mkdir(parents=True)
            (envs / "uv").symlink_to(home() / "envs" / "uv")
    replay.build(variables)
    _prove(image, replay)


def _base_python() -> str:
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


def _need_go() -> None:
    go = shutil.which("go")
    wanted = (ROOT / "stack/versitygw/go.mod").read_text().partition("\ngo ")[2].partition("\n")[0]
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    found = go and subprocess.run(
        [go, "env", "GOVERSION"], check=True, capture_output=True, text=True, env=environ
    )
    if not found or not s3_server.is_new_enough(found.stdout.strip(), wanted):
        pytest.skip(f"this machine has no Go {wanted}: the image's own builder is not tried")


def _prove(image: Image, replay: Replay) -> None:
    """What the image takes is there, and what it starts can be loaded."""
    [taken] = [one.words[0] for one in image.kept.all("COPY") if one.flags]
    assert replay.path(taken).exists()
    command = json.loads(image.kept.one("CMD").text)
    if command[0] == "versitygw":
        subprocess.run([replay.path(taken), *command[1:]], check=True, capture_output=True)
        return
    assert not replay.path("/app/.dataflix/envs/uv").exists()
    [folder] = [one for one in image.kept.environment["PATH"].split(":") if one.startswith("/app")]
    program = shutil.which(command[0], path=replay.path(folder))
    assert program
    found = {path.name for path in replay.path("/app/.dataflix/envs").glob("*/bin/dataflix*")}
    working = folders(image.extras)
    assert found == {name for name, target in programs().items() if folder_of(target) in working}
    python = Path(program).with_name("python")
    if command[0] == "python":
        environ = {"DATAFLIX_ENV_FILE": os.devnull}
        target = replay.path("/config")
        subprocess.run(
            [python, *command[1:3], target, command[4]], check=True, capture_output=True, env=environ
        )
        assert (target / "kafka" / "kafka.properties").exists()
        return
    module = programs()[command[0]].partition(":")[0]
    subprocess.run([python, "-c", f"import {module}"], check=True, capture_output=True, cwd="/")
