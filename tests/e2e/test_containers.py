"""The stack in containers, run by an engine: built, started, used, killed, stopped and deleted.

Run by ``./test.sh --containers``. The tests share one stack and depend on each other's order, because making
it takes minutes. The engine is this machine's own, or one that the tests start. Where the images of others
cannot be pulled, stand-ins are built; docs/containers.md says what those cannot show.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from integration import test_clickhouse_warehouse as warehouse_tests
from integration import test_original_document as document_tests

from containers import stand_ins
from containers.engine import NoEngineError, running_engine
from dataflix_clients import clickhouse, postgres
from dataflix_contract import Settings
from dataflix_contract.settings import LOCAL_ONLY_MASKING_KEY
from dataflix_stack.paths import home, servers
from dataflix_training.ratings import Ratings
from support.container_stack import ContainerStack, container_stack
from support.containers import COMPOSE_FILE, Compose
from support.equality import differences_in_the_end
from support.load import MixedLoad
from support.release import write_release
from support.stack import ROOT
from support.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

SERVICES = Compose.of(COMPOSE_FILE.read_text(encoding="utf-8"), {}).services
SERVERS = {name for name, service in SERVICES.items() if service.get("restart") == "unless-stopped"}
BATCH = {name for name in SERVERS if "core" not in SERVICES[name]["profiles"]}
#: Killed one after the other while rows are changed; the others are killed all at once.
STREAM = ("masker-0", "connect", "kafka", "clickhouse", "postgres")


def tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print a figure that was measured."""
    with capsys.disabled():
        print(f"\n  {line}", flush=True)  # noqa: T201 - figures are for whoever runs the test


@pytest.fixture(scope="module")
def stack() -> Iterator[ContainerStack]:
    """Settings, an engine, and the images of others; nothing is built or started."""
    folder = Path(os.environ.get("DATAFLIX_ENGINE_FOLDER") or home() / "engine").absolute()
    try:
        with running_engine(folder) as environment:
            if environment != os.environ:  # an engine that others use gets no stand-ins under official names
                stand_ins.build(folder, _jars(), environment)
            with container_stack(environment) as stack:
                yield stack
    except NoEngineError as reason:
        pytest.fail(f"{reason}: start Docker, or run this as root on Debian")


@pytest.fixture(scope="module")
def volumes_before(stack: ContainerStack) -> set[str]:
    """What others keep in the engine."""
    return set(stack.docker("volume", "ls", "--quiet").split())


@pytest.fixture(scope="module")
def warehouse(stack: ContainerStack) -> Iterator[Client]:
    """ClickHouse, as the user that only reads."""
    client = clickhouse.connect(stack.settings, stack.settings.clickhouse_reader)
    yield client
    client.close()


@pytest.mark.usefixtures("volumes_before")
def test_everything_is_built_and_becomes_healthy(
    stack: ContainerStack, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    stack.compose("build", timeout=3000)
    stack.compose("build", "cli")
    tell(capsys, f"images built after {time.monotonic() - began:.0f} s")
    tell(capsys, f"first start {stack.start():.0f} s")
    containers = stack.containers()
    assert containers.keys() == SERVICES.keys() - {"cli"}
    states = {name: one["State"] for name, one in containers.items()}
    assert {name for name, state in states.items() if state["Status"] == "running"} == SERVERS
    assert {states[name]["Health"]["Status"] for name in SERVERS} == {"healthy"}
    assert {state["ExitCode"] for name, state in states.items() if name not in SERVERS} == {0}
    used = stack.status()["memory_mb"]
    tell(capsys, f"memory of all containers {used} MB")


def test_no_container_runs_as_root(stack: ContainerStack) -> None:
    users = {name: one["Config"]["User"] for name, one in stack.containers().items()}
    assert {name for name, user in users.items() if user.partition(":")[0] in {"", "0", "root"}} == set()


def test_every_volume_has_a_name(stack: ContainerStack, volumes_before: set[str]) -> None:
    made = set(stack.docker("volume", "ls", "--quiet").split()) - volumes_before
    assert made
    assert {name for name in made if not name.startswith(f"{stack.project}_")} == set()


def test_the_checkers_whole_story_passes_the_daily_batch_included(
    stack: ContainerStack, capsys: pytest.CaptureFixture[str]
) -> None:
    done = stack.run("./check_all_works.py", "--json", check=False, timeout=900)
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)["checks"]
    faults = [f"{one['check']}: {one['detail']}" for one in checks if not one["ok"]]
    assert (faults, done.returncode) == ([], 0)
    tell(capsys, f"{len(checks)} checks passed")


@pytest.mark.parametrize(
    "replay",
    [
        document_tests.test_postgresql_lets_the_documents_login_in,
        document_tests.test_airflow_lets_the_documents_login_in_and_knows_its_dag,
        document_tests.test_the_s3_store_lets_the_documents_login_in,
        document_tests.test_the_api_has_the_documents_endpoints,
        document_tests.test_the_backend_and_the_dbt_webhook_answer_at_health,
        warehouse_tests.test_the_logins_of_the_original_document_work,
    ],
    ids=lambda replay: replay.__name__.removeprefix("test_"),
)
def test_what_the_original_document_says_works(
    stack: ContainerStack, replay: Callable[[Settings], None]
) -> None:
    replay(stack.settings)


def test_a_second_start_replaces_and_restarts_nothing(
    stack: ContainerStack, capsys: pytest.CaptureFixture[str]
) -> None:
    def running() -> dict[str, tuple[str, str]]:
        containers = stack.containers()
        return {name: (containers[name]["Id"], containers[name]["State"]["StartedAt"]) for name in SERVERS}

    before = running()
    tell(capsys, f"second start {stack.start():.0f} s")
    assert running() == before


def test_an_image_is_the_same_whichever_service_it_is_built_for(stack: ContainerStack) -> None:
    """Compose labels an image with the service that built it last, and replaces containers of another one."""
    built = [name for name, service in SERVICES.items() if "build" in service]
    images = sorted({SERVICES[name]["image"] for name in built})

    def ids() -> list[str]:
        return stack.docker("image", "inspect", "--format", "{{.Id}}", *images).split()

    before = ids()
    for service in reversed(built):
        stack.compose("build", service)
    assert dict(zip(images, ids(), strict=True)) == dict(zip(images, before, strict=True))


def test_a_rating_from_the_terminals_container_reaches_the_warehouse(
    stack: ContainerStack, warehouse: Client
) -> None:
    film = _first_film(stack)
    terminal = ("run", "--rm", "-T", "cli")
    created = stack.compose(*terminal, "users", "create", "Con Tainer", "con@example.com", "--json")
    user = json.loads(created)["user_id"]
    stack.compose(*terminal, "rate", str(user), str(film), "4.5", "--json")
    query = "SELECT rating FROM raw.ratings FINAL WHERE user_id = {user:Int64} AND movie_id = {film:Int64}"
    wanted = {"user": user, "film": film}
    wait_until(lambda: warehouse.query(query, parameters=wanted).result_rows, "the rating is there")


@pytest.mark.parametrize("command", ["status", "check", "trace"])
def test_the_terminals_container_says_what_it_cannot_do(stack: ContainerStack, command: str) -> None:
    arguments = ("--env-file", str(stack.env_file), "run", "--rm", "-T", "cli", command)
    done = stack.run("scripts/compose", *arguments, check=False)
    assert done.returncode == 1
    assert f"run bin/dataflix-{command} outside" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "dataflix users list --json",
        "dataflix status",
        "dataflix-check --no-batch",
        "dataflix-connector status",
        "dataflix-connector register",
        "dataflix-dlq list",
        "dataflix-metrics",
        "dataflix-migrate",
        "dataflix-model list",
        "dataflix-pipeline status",
        "dataflix-reconcile",
        "dataflix-seed",
        "dataflix-status",
        "dataflix-trace users user_id=1 --touch --json",
        "dataflix-train",
        "dataflix-warehouse",
    ],
)
def test_each_program_works_as_it_does_natively(stack: ContainerStack, command: str) -> None:
    program, *arguments = command.split()
    stack.run(f"bin/{program}", *arguments)


@pytest.mark.timeout(3600)
def test_every_container_killed_under_load(
    stack: ContainerStack, warehouse: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the processes in containers are other users': only root may kill them")
    with MixedLoad(stack.settings) as load:
        for server in STREAM:
            _more_transactions(load, 30)
            began = time.monotonic()
            stack.kill(server)
            tell(capsys, f"{server} is healthy {time.monotonic() - began:.0f} s after it was killed")
        _more_transactions(load, 30)
        stack.kill(*sorted(SERVERS - set(STREAM)))
        _more_transactions(load, 30)
    assert load.faults == []
    assert differences_in_the_end(stack.settings, warehouse) == []
    wait_until(lambda: not stack.status()["faults"], "nothing is wrong", seconds=300, every=2)


def test_a_stop_and_a_start_keep_the_data(stack: ContainerStack, capsys: pytest.CaptureFixture[str]) -> None:
    with postgres.connect(stack.settings, stack.settings.postgres_owner) as source:
        source.execute("INSERT INTO users (user_id, name) VALUES (60000000, 'Survivor')")
    began = time.monotonic()
    stack.stop()
    tell(capsys, f"stopped after {time.monotonic() - began:.0f} s")
    assert stack.containers() == {}
    tell(capsys, f"start with images and data {stack.start():.0f} s")
    again = clickhouse.connect(stack.settings, stack.settings.clickhouse_reader)
    assert differences_in_the_end(stack.settings, again) == []
    count = "SELECT count() FROM raw.users FINAL WHERE user_id = 60000000 AND NOT _deleted"
    assert str(again.command(count)) == "1"
    again.close()


def test_files_of_this_machine_are_imported(stack: ContainerStack, tmp_path: Path) -> None:
    numbers = np.arange(60)
    ratings = Ratings(
        user_ids=1 + numbers % 6,
        movie_ids=1 + numbers // 6,
        stars=np.full(60, 3.5),
        rated_at=(1_000_000_000 + numbers) * 1_000_000,
        max_version=0,
    )
    release = write_release(tmp_path / "a release", ratings)
    rejects = tmp_path / "rejects.csv"
    done = stack.run("bin/dataflix-import", str(release), "--replace", "--json", "--rejects", str(rejects))
    assert json.loads(done.stdout)["files"]
    with postgres.connect(stack.settings, stack.settings.postgres_owner) as source:
        assert source.execute("SELECT count(*) FROM ratings").fetchone() == (60,)
    again = clickhouse.connect(stack.settings, stack.settings.clickhouse_reader)
    assert differences_in_the_end(stack.settings, again) == []
    again.close()


def test_the_core_profile_ends_what_the_full_one_started(stack: ContainerStack) -> None:
    text = stack.env_file.read_text()
    stack.env_file.write_text(f"{text}DATAFLIX_PROFILE=core\n")
    stack.start()
    stack.env_file.write_text(text)
    assert {name for name in stack.containers() if name in SERVERS} == SERVERS - BATCH


def test_a_port_that_somebody_has_is_named(stack: ContainerStack) -> None:
    stack.stop()
    with socket.create_server(("127.0.0.1", stack.settings.postgres_port)):
        done = stack.run("./run.sh", "--compose", "--env-file", str(stack.env_file), check=False)
    assert done.returncode == 1
    assert f"port {stack.settings.postgres_port} of postgres is taken or not permitted" in done.stderr
    assert "DATAFLIX_POSTGRES_PORT" in done.stderr


def test_no_secret_is_in_an_image(stack: ContainerStack, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted({str(service["image"]) for service in SERVICES.values()})
    for image in images:
        size = int(stack.docker("image", "inspect", "--format", "{{.Size}}", image))
        tell(capsys, f"{image} {size / 1e6:.0f} MB")
    ours = [image for image in images if image.startswith("dataflix/")]
    assert len(stack.secrets) >= 10
    # this one is in the code, and shows that what is searched is what the images hold
    patterns = stack.env_file.with_suffix(".secrets")
    patterns.write_text("".join(f"{one}\n" for one in sorted({*stack.secrets, LOCAL_ONLY_MASKING_KEY})))
    search = ["grep", "--text", "--only-matching", "--fixed-strings", f"--file={patterns}"]
    with subprocess.Popen(["docker", "save", *ours], env=stack.environment, stdout=subprocess.PIPE) as saved:
        searched = subprocess.run(
            search, stdin=saved.stdout, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}
        )
    assert saved.returncode == 0
    assert set(searched.stdout.split()) == {LOCAL_ONLY_MASKING_KEY}


def test_a_wipe_leaves_nothing_even_after_a_stop(stack: ContainerStack, volumes_before: set[str]) -> None:
    stack.stop()
    assert stack.containers() == {}
    stack.stop("--wipe", "--yes")
    assert set(stack.docker("volume", "ls", "--quiet").split()) - volumes_before == set()
    for kept in ("network", "container"):
        every = ("--all",) if kept == "container" else ()
        chosen = ("--filter", f"label=com.docker.compose.project={stack.project}")
        assert stack.docker(kept, "ls", "--quiet", *every, *chosen) == ""


def _jars() -> Path:
    """Those of Kafka, Kafka Connect and Debezium that the native way uses; the stand-ins are made of them."""
    if not any(servers().glob("*/jars")):
        subprocess.run([ROOT / "bin/dataflix-stack", "install"], check=True)
    return next(servers().glob("*/jars"))


def _first_film(stack: ContainerStack) -> int:
    with postgres.connect(stack.settings, stack.settings.postgres_owner) as source:
        row = source.execute("SELECT min(movie_id) FROM movies").fetchone()
    assert row
    return int(row[0])


def _more_transactions(load: MixedLoad, transactions: int) -> None:
    goal = sum(load.committed.values()) + transactions
    wait_until(lambda: sum(load.committed.values()) >= goal, f"{transactions} more transactions")
