"""docker-compose.yml by itself: valid, hardened, and what scripts/compose makes of it."""

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from dataflix_contract import Settings
from support.containers import COMPOSE_FILE, Compose, environment, interpolate
from support.dockerfiles import images
from support.stack import ROOT

COMPOSE = Compose.of(COMPOSE_FILE.read_text(encoding="utf-8"), environment(Settings()))
SET_UPS = {name for name, service in COMPOSE.services.items() if service.get("restart") == "no"}
SERVERS = COMPOSE.services.keys() - SET_UPS - {"cli"}
#: Images of others that end with a USER of their own.
WITHOUT_ROOT = ("apache/kafka:", "quay.io/debezium/connect:", "ghcr.io/kafbat/kafka-ui:")

each = pytest.mark.parametrize("name", COMPOSE.services)


def test_the_file_is_valid() -> None:
    package = find_spec(
        "check_jsonschema"
    )  # it is not imported: its command wants another click than Airflow
    assert package
    assert package.origin
    schema = Path(package.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    document = yaml.safe_load(interpolate(COMPOSE_FILE.read_text(encoding="utf-8"), {}))
    jsonschema.validate(document, json.loads(schema.read_text(encoding="utf-8")))


@each
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = COMPOSE.services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & service.keys()
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service.get("user") in {"postgres", "101:101"} or (
        name in COMPOSE.ours or service["image"].startswith(WITHOUT_ROOT)
    )


def test_health_checks_send_nothing_to_a_proxy_that_docker_gives_to_containers() -> None:
    checks = [
        " ".join(service.get("healthcheck", {}).get("test", [])) for service in COMPOSE.services.values()
    ]
    found = [check for check in checks if "curl" in check or "wget" in check]
    assert len(found) == 3
    for check in found:
        assert check.count("curl ") == check.count("curl --noproxy '*' ")
        assert check.count("wget ") == check.count("http_proxy= wget ")


@each
def test_a_container_writes_to_named_volumes_only(name: str) -> None:
    for volume in COMPOSE.services[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        assert not source.startswith((".", "/"))
        assert mode == (["ro"] if target == "/var/lib/dataflix/conf" else [])


@each
def test_images_have_exact_tags(name: str) -> None:
    _, _, tag = COMPOSE.services[name]["image"].rpartition(":")
    assert tag[0].isdigit() or tag.startswith("v")
    assert tag.count(".") >= 1


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_server_is_probed_and_started_again(name: str) -> None:
    service = COMPOSE.services[name]
    assert service["restart"] == "unless-stopped"
    if "healthcheck" in service:
        assert {"test", "start_period", "start_interval"} <= service["healthcheck"].keys()
    else:
        kept = images()[COMPOSE.target(name)].kept
        assert kept.last("HEALTHCHECK").text.startswith("CMD")


@pytest.mark.parametrize("profile", ["core", "full"])
def test_somebody_waits_for_each_set_up_program(profile: str) -> None:
    started = {name: one for name, one in COMPOSE.services.items() if profile in one["profiles"]}
    waited_for = {other for one in started.values() for other in one.get("depends_on", {})}
    assert (SET_UPS & started.keys()) <= waited_for
    assert waited_for <= started.keys()


def test_only_this_machine_reaches_the_ports() -> None:
    ports = [port for service in COMPOSE.services.values() for port in service.get("ports", [])]
    assert ports
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


#: A ``docker`` that is new enough, and only writes down what is asked of its ``compose`` about a project.
DOCKER = """#!/bin/sh
case "$*" in
"version --format"*) echo 1.45 ;;
"compose version --short") echo v2.26.1 ;;
*" config --services") [ "$COMPOSE_PROFILES" = core ] && echo kafka || printf 'backend\\nkafka\\n' ;;
*) echo "$COMPOSE_PROFILES" "$@" | tee -a {calls} ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``docker`` that answers, and only writes down how it was called; first in PATH."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.replace("{calls}", str(tmp_path / "calls")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("DATAFLIX_PROFILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "DATAFLIX_MASKER_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "calls"


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (".env", "", ("full", "dataflix")),
        (".env", "DATAFLIX_PROFILE='core' # the stream\n", ("core", "dataflix")),
        ("second.env", "export DATAFLIX_PROFILE='core'\n", ("core", "dataflix-second")),
    ],
)
def test_compose_is_called_with_the_settings(
    docker: Path, tmp_path: Path, name: str, text: str, wanted: tuple[str, str]
) -> None:
    settings = tmp_path / name
    settings.write_text(text)
    subprocess.run([ROOT / "scripts/compose", "--env-file", settings, "ps"], check=True)
    profile, *arguments = docker.read_text().split()
    assert (profile, arguments[-2]) == wanted
    assert arguments[:-3] == [
        *("compose", "--project-directory", str(ROOT), "--file", str(COMPOSE_FILE)),
        *("--env-file", str(settings)),
    ]
    assert arguments[-3::2] == ["--project-name", "ps"]


def test_more_maskers_than_containers_are_refused(docker: Path, tmp_path: Path) -> None:
    settings = tmp_path / ".env"
    settings.write_text("DATAFLIX_MASKER_WORKERS=2\n")
    done = subprocess.run(
        [ROOT / "scripts/compose", "--env-file", settings, "up"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "DATAFLIX_MASKER_WORKERS=1" in done.stderr
    assert not docker.exists()


def _calls(docker: Path) -> list[str]:
    """What compose was asked for, in order."""
    asked = [line.partition("--project-name dataflix-some ")[2] for line in docker.read_text().splitlines()]
    return [one for one in asked if one]


def test_run_and_stop_use_the_engine_that_answers(docker: Path, tmp_path: Path) -> None:
    settings = tmp_path / "some.env"
    settings.write_text("DATAFLIX_PROFILE=core\n")
    subprocess.run([ROOT / "run.sh", "--env-file", settings], check=True)
    assert _calls(docker) == [
        "build",
        "rm --stop --force backend",
        "up --detach --wait --remove-orphans",
        "ps",
    ]
    docker.unlink()
    subprocess.run([ROOT / "stop.sh", "--env-file", settings], check=True)
    assert _calls(docker) == ["ps --all --quiet", "down --remove-orphans"]
    docker.unlink()
    asking = subprocess.run(
        [ROOT / "stop.sh", "--env-file", settings, "--wipe"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (asking.returncode, _calls(docker)) == (1, ["ps --all --quiet"])
    assert "--yes" in asking.stderr
    subprocess.run([ROOT / "stop.sh", "--env-file", settings, "--wipe", "--yes"], check=True)
    assert _calls(docker)[-1] == "down --remove-orphans --volumes"


def test_a_wipe_deletes_the_volumes_of_containers_that_a_stop_has_removed(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = docker.parent / "bin" / "docker"
    answers = '*" ps --all --quiet") ;;\n"volume ls"*) echo dataflix-some_postgres ;;\n*) echo "$COMP'
    program.write_text(program.read_text().replace('*) echo "$COMP', answers).replace("| tee -a", ">>"))
    monkeypatch.setenv("DATAFLIX_HOME", str(tmp_path))  # nothing is installed there
    settings = tmp_path / "some.env"
    settings.touch()
    subprocess.run([ROOT / "stop.sh", "--env-file", settings], check=True)
    assert not docker.exists()
    subprocess.run([ROOT / "stop.sh", "--env-file", settings, "--wipe", "--yes"], check=True)
    assert _calls(docker) == ["down --remove-orphans --volumes"]


#: What an engine that cannot be used answers, and what people are told about it.
UNUSABLE = {
    "no engine": ("echo Cannot connect to the Docker daemon >&2; exit 1", "start Docker"),
    "no rights": ("echo permission denied while trying to connect >&2; exit 1", "usermod -aG docker"),
    "an old engine": ('case "$1" in version) echo 1.41 ;; *) echo v2.26.1 ;; esac', "upgrade Docker to 25"),
    "another engine": ('case "$1" in version) echo podman ;; *) echo v2.26.1 ;; esac', "is podman"),
    "no compose": ('case "$1" in version) echo 1.45 ;; *) exit 1 ;; esac', "install docker-compose-plugin"),
    "an old compose": ('case "$1" in version) echo 1.45 ;; *) echo 2.5.0 ;; esac', "2.21 is needed"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_engine_that_cannot_be_used_is_refused_with_the_reason(docker: Path, case: str) -> None:
    answer, told = UNUSABLE[case]
    (docker.parent / "bin" / "docker").write_text(f"#!/bin/sh\n{answer}\n")
    done = subprocess.run([ROOT / "run.sh", "--compose"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
    assert "./run.sh --native" in done.stderr


def test_without_a_usable_engine_the_servers_start_as_processes(docker: Path, tmp_path: Path) -> None:
    answer, told = UNUSABLE["an old engine"]
    (docker.parent / "bin" / "docker").write_text(f"#!/bin/sh\n{answer}\n")
    missing = str(tmp_path / "missing.env")
    done = subprocess.run(
        [ROOT / "run.sh", "--env-file", missing], check=False, capture_output=True, text=True
    )
    assert "as processes of this machine, because the container engine's API is 1.41" in done.stdout
    assert told in done.stdout
    assert f"{missing} does not exist" in done.stderr


@pytest.mark.parametrize("profiles", ["core", "full,cli"])
def test_docker_compose_itself_takes_the_file(tmp_path: Path, profiles: str) -> None:
    version = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(version, check=False, capture_output=True).returncode:
        pytest.skip("docker compose is not installed: the schema alone was checked")
    settings = tmp_path / "some.env"
    shutil.copy(ROOT / ".env.example", settings)
    done = subprocess.run(
        [ROOT / "scripts/compose", "--env-file", settings, "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COMPOSE_PROFILES": profiles},
    )
    assert done.stderr == ""
    wanted = {n for n, one in COMPOSE.services.items() if set(one["profiles"]) & set(profiles.split(","))}
    services = json.loads(done.stdout)["services"]
    assert services.keys() == wanted
    from_file = environment(Settings())
    for name, service in services.items():
        said = COMPOSE.services[name].get("environment", {})
        expected = {one: from_file[one] if value is None else str(value) for one, value in said.items()}
        assert {one: service["environment"][one] for one in said} == expected
