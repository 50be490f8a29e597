"""What the original document says, on a running stack: its commands, logins, environment and endpoints.

The document's ports are the settings' defaults; a test's stack has others in their place.
"""

import os
import re
import subprocess
import uuid

import boto3  # type: ignore[import-untyped]
import httpx
import psycopg
import pytest

from dataflix_contract import Settings
from dataflix_contract.settings import read_settings
from support.original_document import DOCUMENT
from support.stack import ROOT, Stack

#: The document's ports, by the setting that has each.
PORTS = {
    "postgres_port": 5432,
    "clickhouse_http_port": 8123,
    "clickhouse_tcp_port": 9000,
    "airflow_port": 8080,
    "dbt_port": 5001,
    "mlflow_port": 5003,
    "s3_port": 9002,
    "s3_console_port": 9003,
    "backend_port": 5002,
}


def test_the_ports_are_the_documents() -> None:
    assert {name: Settings.model_fields[name].default for name in PORTS} == PORTS


@pytest.mark.parametrize("command", ["./run.sh", "python3 check_all_works.py", "./stop.sh"])
def test_the_commands_are_there(command: str) -> None:
    done = subprocess.run([*command.split(), "--help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "Usage" in done.stdout


def test_the_documents_environment_pasted_into_the_file_changes_nothing_that_runs(
    stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anything of a shell that exports other values of those names."""
    before = {one["service"]: one["pid"] for one in stack.status()["services"]}
    text = stack.env_file.read_text(encoding="utf-8")
    for name in re.findall(r"^(\w+)=", DOCUMENT, re.MULTILINE):
        monkeypatch.setenv(name, "https://foreign:foreign@foreign:1/foreign")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=foreign")
    monkeypatch.setenv("AWS_PROFILE", "foreign")
    try:
        stack.env_file.write_text(text + DOCUMENT, encoding="utf-8")
        assert read_settings(stack.env_file) == settings
        stack.up()
        services = stack.status()["services"]
        assert {one["service"]: one["pid"] for one in services} == before
        assert {one["state"] for one in services} == {"ready"}
    finally:
        stack.env_file.write_text(text, encoding="utf-8")


def test_postgresql_lets_the_documents_login_in(settings: Settings) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=settings.postgres_port,
        user="dataflix",
        password="dataflix123",
        dbname="dataflix_db",
    ) as connection:
        for table in ("users", "movies", "watched_movies", "ratings"):
            assert connection.execute(f"SELECT count(*) > 0 FROM {table}").fetchone() == (True,)


def test_airflow_lets_the_documents_login_in_and_knows_its_dag(settings: Settings) -> None:
    with httpx.Client(base_url=settings.airflow_url, timeout=60, trust_env=False) as airflow:
        login = airflow.post("/auth/token", json={"username": "admin", "password": "admin"})
        token = login.raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        dag = airflow.get("/api/v2/dags/elt_pipeline", headers=headers).raise_for_status().json()
    assert dag["dag_id"] == "elt_pipeline"


def test_the_s3_store_lets_the_documents_login_in(settings: Settings) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{settings.s3_port}",
        aws_access_key_id="minio",
        aws_secret_access_key="minio123",
        region_name="us-east-1",
    )
    assert settings.s3_bucket in {one["Name"] for one in client.list_buckets()["Buckets"]}
    console = httpx.get(
        f"http://127.0.0.1:{settings.s3_console_port}/", trust_env=False, follow_redirects=True
    )
    assert console.is_success


def test_the_api_has_the_documents_endpoints(settings: Settings) -> None:
    with httpx.Client(base_url=settings.backend_url, timeout=60, trust_env=False) as api:
        new = {"name": "Ada of the document", "email": f"ada-{uuid.uuid4().hex}@example.com"}
        user = api.post("/users", json=new).raise_for_status().json()["user_id"]
        try:
            assert api.get(f"/users/{user}").raise_for_status().json()["name"] == "Ada of the document"
            film = api.get("/movies").raise_for_status().json()["items"][0]["movie_id"]
            api.post("/watched", json={"user_id": user, "movie_id": film}).raise_for_status()
            rating = {"user_id": user, "movie_id": film, "rating": 4.5}
            api.post("/ratings", json=rating).raise_for_status()
            recommended = api.get(f"/recommendations/{user}").raise_for_status().json()["items"]
            assert recommended
            assert film not in {one["movie_id"] for one in recommended}
        finally:
            api.delete(f"/users/{user}").raise_for_status()


def test_the_backend_and_the_dbt_webhook_answer_at_health(settings: Settings) -> None:
    backend = httpx.get(f"{settings.backend_url}/health", timeout=60, trust_env=False)
    assert (backend.status_code, backend.json()["status"]) == (200, "ok")
    dbt = httpx.get(f"{settings.dbt_url}/health", timeout=60, trust_env=False)
    assert (dbt.status_code, dbt.json()) == (200, {"status": "ok", "faults": []})
    document = httpx.get(f"{settings.backend_url}/openapi.json", trust_env=False).json()
    assert list(document["paths"]["/health"]) == ["get"]
    assert not [path for path in document["paths"] if path.startswith("/health/")]


@pytest.mark.parametrize("path", ["/console", "/?__debugger__=yes&cmd=resource&f=style.css", "/users/x"])
def test_debug_serves_no_debugger(settings: Settings, path: str) -> None:
    assert settings.flask_debug
    for address in (settings.backend_url, settings.dbt_url):
        answer = httpx.get(f"{address}{path}", timeout=60, trust_env=False)
        assert "werkzeug" not in answer.text.lower()
        assert "Traceback" not in answer.text


def test_data_of_another_database_name_is_not_left_behind(stack: Stack, settings: Settings) -> None:
    """A file without the name that the data was made with: nothing empty is put beside it."""
    environ = os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file), "DATAFLIX_POSTGRES_DB": "another_name"}
    done = subprocess.run(
        [ROOT / "bin/dataflix-migrate"], check=False, capture_output=True, text=True, env=environ
    )
    assert done.returncode == 1
    assert f"set POSTGRES_DB={settings.postgres_db} " in done.stderr
    environ = os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file), "DATAFLIX_POSTGRES_USER": "another"}
    done = subprocess.run(
        [ROOT / "bin/dataflix-migrate"], check=False, capture_output=True, text=True, env=environ
    )
    assert done.returncode == 1
    assert f"set POSTGRES_USER={settings.postgres_user} " in done.stderr
    stack.run("bin/dataflix-migrate")
