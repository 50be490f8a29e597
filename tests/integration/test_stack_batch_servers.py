"""The servers that the daily batch works with: S3, MLflow, and their databases."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import psutil
import psycopg
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from dataflix_contract import Settings
from dataflix_stack.launch import MARK
from dataflix_stack.paths import console_script
from support.stack import Stack
from support.waiting import wait_until

BATCH = {"s3", "mlflow", "dbt-webhook", "airflow-api", "airflow-scheduler", "airflow-dags"}


def s3_client(settings: Settings, secret: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name="us-east-1",
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 1}, proxies={}),
    )


@pytest.fixture
def mlflow(settings: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=settings.mlflow_url, timeout=30, trust_env=False) as client:
        yield client


def test_the_store_keeps_objects_for_who_knows_the_secret(settings: Settings) -> None:
    client = s3_client(settings, settings.s3_secret_key.get_secret_value())
    place = {"Bucket": settings.s3_bucket, "Key": "tests/object"}
    client.put_object(**place, Body=b"content")
    try:
        assert client.get_object(**place)["Body"].read() == b"content"
    finally:
        client.delete_object(**place)


def test_a_wrong_secret_is_refused(settings: Settings) -> None:
    with pytest.raises(ClientError) as refused:
        s3_client(settings, "not the secret").list_buckets()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_nobody_reads_artefacts_past_mlflow_without_a_login(settings: Settings) -> None:
    answer = httpx.get(f"{settings.s3_url}/{settings.s3_bucket}/", trust_env=False)
    assert answer.status_code == 403


def test_the_console_is_served(settings: Settings) -> None:
    page = httpx.get(
        f"http://{settings.s3_host}:{settings.s3_console_port}/", trust_env=False, follow_redirects=True
    )
    assert page.status_code == 200
    assert "<html" in page.text


def test_the_bucket_may_be_made_again(stack: Stack) -> None:
    assert "is there" in stack.run(str(console_script("dataflix-mlflow")), "bucket").stdout


def test_mlflow_refuses_names_of_other_sites(mlflow: httpx.Client) -> None:
    search = mlflow.build_request("POST", "/api/2.0/mlflow/experiments/search", json={"max_results": 1})
    search.headers["Host"] = "evil.example"
    assert mlflow.send(search).status_code == 403


@pytest.mark.parametrize("owner", ["airflow", "mlflow"])
def test_each_database_is_reached_by_its_owner_alone(settings: Settings, owner: str) -> None:
    logins = {
        "airflow": (settings.airflow_db_user, settings.airflow_db_password, settings.airflow_db),
        "mlflow": (settings.mlflow_db_user, settings.mlflow_db_password, settings.mlflow_db),
    }
    user, password, own = logins[owner]

    def enter(database: str) -> None:
        psycopg.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            dbname=database,
            user=user,
            password=password.get_secret_value(),
        ).close()

    enter(own)
    for other in {settings.postgres_db, *(login[2] for login in logins.values())} - {own}:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            enter(other)


def _service(process: psutil.Process) -> str:
    """The service that the process belongs to, or nothing."""
    try:
        return process.environ().get(MARK, "").rpartition("/")[2]
    except psutil.Error:
        return ""


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    """The addresses that the process listens on; none, when it has ended meanwhile."""
    try:
        connections = process.net_connections(kind="inet")
    except psutil.NoSuchProcess:
        return []
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    ]


def _members(stack: Stack) -> list[psutil.Process]:
    """Every process of the stack: what its servers were started as, and all that descend from them."""
    mains = [psutil.Process(one["pid"]) for one in stack.status()["services"]]
    family = {child for main in mains for child in main.children(recursive=True)} | set(mains)
    marks = f"{stack.data_dir / 'run'}/"
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(marks):
                family.add(process)
        except psutil.Error:
            continue
    return list(family)


def test_every_server_listens_on_loopback_only(stack: Stack) -> None:
    listening = {address for process in _members(stack) for address in _listening(process)}
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}, listening
    wanted = {port for one in stack.status()["services"] for port in one["ports"]}
    assert wanted <= {port for _, port in listening}


def test_the_whole_stack_is_small_enough(stack: Stack) -> None:
    """The bound is for an idle stack; what other tests left in the servers' caches comes on top."""
    assert stack.status()["memory_mb"] < 4_500


def test_no_secret_is_on_a_command_line(stack: Stack, settings: Settings) -> None:
    lines = " ".join(" ".join(_command_line(process)) for process in _members(stack))
    for secret in (settings.s3_secret_key, settings.masking_key, settings.airflow_secret, settings.dbt_token):
        assert secret.get_secret_value() not in lines


@pytest.mark.disruptive
def test_killed_servers_come_back_alone_and_artefacts_are_there(stack: Stack, mlflow: httpx.Client) -> None:
    place = "/api/2.0/mlflow-artifacts/artifacts/tests/model"
    mlflow.put(place, content=b"model").raise_for_status()
    before = [process for process in _members(stack) if _service(process) in BATCH]
    assert {_service(process) for process in before} == BATCH
    mains = {service: stack.pid(service) for service in BATCH}
    killed_at = datetime.now(UTC)
    for pid in mains.values():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _restarted(stack, mains), "all are ready again", seconds=280, every=2)
    wait_until(lambda: _beats_since(stack.settings, killed_at), "Airflow's heart beats", seconds=180, every=1)
    assert [process for process in before if process.is_running()] == []
    assert mlflow.get(place).raise_for_status().content == b"model"
    mlflow.delete(place).raise_for_status()


@pytest.mark.disruptive
def test_nothing_of_a_killed_supervisors_servers_is_left(stack: Stack) -> None:
    before = _members(stack)
    [supervisor] = [one["pid"] for one in stack.status()["services"] if one["service"] == "supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    stack.up()
    wait_until(lambda: not stack.look().faults, "every server answers")
    assert [process for process in before if process.is_running()] == []


@pytest.mark.disruptive
def test_mlflow_works_again_after_its_database_was_killed(stack: Stack, mlflow: httpx.Client) -> None:
    killed = stack.pid("postgres")
    stack.kill("postgres")
    wait_until(lambda: _restarted(stack, {"postgres": killed}), "postgres is back", seconds=280, every=1)

    def answers() -> bool:
        search = {"max_results": 1}
        return mlflow.post("/api/2.0/mlflow/experiments/search", json=search).is_success

    wait_until(answers, "MLflow answers from its database", seconds=180, every=1)


def _restarted(stack: Stack, killed: dict[str, int]) -> bool:
    services = {one.service: one for one in stack.look().services}
    return all(services[name].state == "ready" and services[name].pid != pid for name, pid in killed.items())


def _beats_since(settings: Settings, moment: datetime) -> bool:
    health = httpx.get(f"{settings.airflow_url}/api/v2/monitor/health", trust_env=False, timeout=30).json()
    beats = (
        health["scheduler"]["latest_scheduler_heartbeat"],
        health["dag_processor"]["latest_dag_processor_heartbeat"],
    )
    return all(datetime.fromisoformat(beat) > moment for beat in beats)
