"""A program whose server is away ends with a sentence: which server, where it was looked for, what to do."""

import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
import typer
from typer.testing import CliRunner

import dataflix_connectors.connector_command
import dataflix_connectors.topics
from dataflix_checker import pipeline_command, trace_command
from dataflix_checker.batch_check import check_batch
from dataflix_checker.canary import Canary
from dataflix_clickhouse import warehouse
from dataflix_clients import batch, connect
from dataflix_clients.answers import Unknown, ask
from dataflix_clients.connect import read_connector
from dataflix_clients.readiness import NOT_READY
from dataflix_contract import Settings, load_settings
from dataflix_contract.faults import cannot_use
from dataflix_postgres import migrations, seed
from dataflix_reconciliation import reconcile_command as reconciliation
from dataflix_stream_processors import dead_letter_replay, delivery, dlq_command

#: Nothing listens here.
_NOWHERE = "127.0.0.1:1"
_PROGRAMS = {
    "pipeline run": (pipeline_command.app, ["run"], "Airflow"),
    "pipeline status": (pipeline_command.app, ["status"], "Airflow"),
    "trace": (trace_command.app, [], "PostgreSQL"),
    "trace of a row": (trace_command.app, ["users", "user_id=1"], "ClickHouse"),
    "warehouse": (warehouse.app, [], "ClickHouse"),
    "reconcile": (reconciliation.app, ["users"], "PostgreSQL"),
    "migrate": (migrations.app, [], "PostgreSQL"),
    "seed": (seed.app, [], "PostgreSQL"),
    "dlq list": (dlq_command.app, ["list"], "Kafka"),
    "dlq replay": (dlq_command.app, ["replay", "--all"], "Kafka"),
    "connector topics": (dataflix_connectors.connector_command.app, ["topics"], "Kafka"),
    "connector preflight": (dataflix_connectors.connector_command.app, ["preflight"], "PostgreSQL"),
    "connector status": (dataflix_connectors.connector_command.app, ["status"], "Kafka Connect"),
}


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings with ports that nothing listens on, and clients that give up at once."""
    monkeypatch.setenv("DATAFLIX_ENV_FILE", "")
    for name in Settings.model_fields:
        if name.endswith("_port"):
            monkeypatch.setenv(f"DATAFLIX_{name.upper()}", "1")
    monkeypatch.setenv("DATAFLIX_BACKEND_PORT", "2")  # a server is known by its address
    monkeypatch.setattr(dead_letter_replay, "_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(dataflix_connectors.topics, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr(dataflix_connectors.connector_command, "_STATUS_PATIENCE_S", 0.1)
    monkeypatch.setattr(delivery, "_PING_SECONDS", 0.1)
    return monkeypatch


@pytest.mark.parametrize(("program", "arguments", "server"), _PROGRAMS.values(), ids=list(_PROGRAMS))
@pytest.mark.usefixtures("nobody_listens")
def test_a_program_says_which_server_is_away_and_what_to_do(
    program: typer.Typer, arguments: Sequence[str], server: str
) -> None:
    done = CliRunner().invoke(program, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    said = " ".join(done.stderr.split())
    assert server in said
    assert _NOWHERE in said.replace('", port ', ":").replace('"', "")
    assert "./run.sh" in said
    assert "KafkaError{" not in said
    assert "HTTPConnectionPool" not in said


@pytest.mark.usefixtures("nobody_listens")
def test_the_check_of_the_batch_fails_with_a_reason_while_airflow_is_away() -> None:
    [result] = check_batch(load_settings(), Canary(), 1, 4.0)
    assert (result.check, result.ok) == ("elt_pipeline", False)
    assert "Connection refused" in result.detail


@pytest.mark.usefixtures("nobody_listens")
def test_the_masker_says_where_it_looked_for_kafka() -> None:
    producer = delivery.Delivery({"bootstrap.servers": _NOWHERE}, "test")
    with pytest.raises(delivery.DeliveryError, match=f"cannot use Kafka at {_NOWHERE}: .*\\./run\\.sh"):
        producer.partitions()


def test_the_systems_own_words_are_taken_out_of_a_librarys() -> None:
    fault = RuntimeError("Max retries exceeded with url: /?query_id=1")
    fault.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert cannot_use("ClickHouse", _NOWHERE, fault).startswith(
        f"cannot use ClickHouse at {_NOWHERE}: Connection refused. ./run.sh starts it"
    )
    assert "at a:1: first line. ./run.sh" in cannot_use("Kafka", "a:1", psycopg.Error("first line\nsecond"))


class _Page(BaseHTTPRequestHandler):
    """A server of somebody else's, which has a page at every address."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    do_GET = do_POST = _answer  # noqa: N815 - the names that the library looks for

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def other_server(nobody_listens: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of such a server, which settings name in place of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        for name in ("AIRFLOW", "CONNECT", "MLFLOW", "CLICKHOUSE_HTTP"):
            nobody_listens.setenv(f"DATAFLIX_{name}_PORT", str(server.server_port))
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [(pipeline_command.app, ["status"]), (dataflix_connectors.connector_command.app, ["status"])],
    ids=["pipeline status", "connector status"],
)
def test_a_program_says_that_another_server_answers(
    other_server: str, program: typer.Typer, arguments: Sequence[str]
) -> None:
    done = CliRunner().invoke(program, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert "another server answers" in done.stderr
    assert other_server in done.stderr


def test_the_status_says_that_another_server_answers(other_server: str) -> None:
    settings = Settings()
    questions = (read_connector, batch.read_champion, batch.read_run, batch.read_outcome)
    for question in questions:
        answer = ask(question, settings)
        assert isinstance(answer, Unknown)
        assert f"another server answers at {other_server}" in answer.fault
    with pytest.raises(NOT_READY):
        connect.check(settings)


class _Connect(BaseHTTPRequestHandler):
    """A Kafka Connect that makes the connector, and whose answer is lost on the way."""

    heard = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not type(self).heard:
            type(self).heard = True
            self.close_connection = True
            return
        answer = b'{"error_code": 409, "message": "Connector dataflix-postgres already exists"}'
        self.send_response(409)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_a_connector_that_was_made_although_the_answer_was_lost_is_there() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Connect) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        settings = Settings(connect_port=server.server_port)
        with connect.ConnectClient(settings, patience_s=10) as client:
            client.create_stopped({})
        server.shutdown()
        thread.join()
    assert _Connect.heard
