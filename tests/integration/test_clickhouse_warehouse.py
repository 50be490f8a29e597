"""The warehouse on a running server: repeatable, closed to strangers, unharmed by what is no row."""

import json
import socket
import time
from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_driver import Client as NativeClient  # type: ignore[import-untyped]
from confluent_kafka import Producer

from dataflix_clickhouse import schema_plan, warehouse
from dataflix_contract import Column, ColumnType, PiiClass, Settings, Table, tables
from dataflix_stack import paths
from support.logins import login
from support.waiting import wait_until

_PATIENCE_SECONDS = 30
_ROW = {
    "user_id": -7,
    "created_at": "2024-01-01T02:00:00.5+02:00",
    "updated_at": "2024-01-01T00:00:00.123456Z",
}


@pytest.fixture
def owner(settings: Settings) -> Iterator[Client]:
    client = warehouse.connect(settings)
    yield client
    client.close()


def message(op: str, version: object, row: dict[str, object] | None) -> bytes:
    image = {"before": row, "after": None} if op == "d" else {"before": None, "after": row}
    return json.dumps({"op": op, "version": version, **image, "source": {"ts_us": 1}}).encode()


def send(settings: Settings, *messages: bytes) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    for value in messages:
        producer.produce("masked.users", value, b'{"user_id":-7}')
    assert producer.flush(_PATIENCE_SECONDS) == 0


def wait_for(client: Client, query: str, wanted: object) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := client.command(query)) != wanted:
        assert time.monotonic() < deadline, f"{query} gives {found!r} and not {wanted!r}"
        time.sleep(0.1)


def test_a_complete_warehouse_has_nothing_to_do(settings: Settings, owner: Client) -> None:
    found = warehouse.find(owner)
    assert list(schema_plan.plan(tables().values(), found, settings.kafka_bootstrap)) == []
    assert schema_plan.leftovers(tables().values(), found) == []


def test_what_is_no_row_is_kept_apart_and_stops_nothing(settings: Settings, owner: Client) -> None:
    before = owner.command("SELECT count() FROM raw.ingest_errors FINAL WHERE topic = 'masked.users'")
    send(
        settings,
        b"not json",
        b"\xff\xfe",
        message("c", None, _ROW),
        message("c", -1, _ROW),
        message("x", 1, _ROW),
        message("c", 1, None),
        message("c", 1, _ROW | {"birth_year": 99_999}),
        message("c", 1, _ROW | {"created_at": "yesterday"}),
        message("c", 2, _ROW | {"unheard_of": 1}),
    )
    wait_for(owner, "SELECT max(_version) FROM raw.users WHERE user_id = -7", 2)
    errors = "SELECT count() FROM raw.ingest_errors FINAL WHERE topic = 'masked.users'"
    assert isinstance(before, int)
    wait_for(owner, errors, before + 8)
    stamps = owner.command(
        "SELECT (toString(created_at), toString(updated_at)) FROM raw.users FINAL WHERE user_id = -7"
    )
    assert "2024-01-01 00:00:00.500000" in str(stamps)
    assert "2024-01-01 00:00:00.123456" in str(stamps)
    send(settings, message("d", 3, _ROW))
    wait_for(owner, "SELECT count() FROM raw.masked_users WHERE user_id = -7", 0)


def test_a_new_column_is_added_and_taken_back(settings: Settings, owner: Client) -> None:
    movies = tables()["movies"]
    note = Column("note", ColumnType.TEXT, PiiClass.PUBLIC, nullable=True)
    wide = Table(movies.name, movies.key, {**movies.columns, "note": note})
    for step in schema_plan.plan([wide], warehouse.find(owner), settings.kafka_bootstrap):
        warehouse.run(owner, step)
    found = warehouse.find(owner)
    assert found.columns["movies"]["note"] == "Nullable(String)"
    assert schema_plan.leftovers([movies], found) == ["movies.note"]
    for step in schema_plan.plan([movies], found, settings.kafka_bootstrap):
        warehouse.run(owner, step)
    owner.command("ALTER TABLE raw.movies DROP COLUMN note")


@pytest.mark.parametrize("user", ["clickhouse_user", "clickhouse_admin_user"])
def test_a_wrong_password_is_refused(settings: Settings, user: str) -> None:
    with pytest.raises(ClickHouseError, match="Authentication failed"):
        login(settings, getattr(settings, user), "wrong")


@pytest.mark.parametrize("password", ["", "wrong"])
def test_default_without_the_password_is_refused(settings: Settings, password: str) -> None:
    with pytest.raises(ClickHouseError):
        login(settings, "default", password)


def test_the_logins_of_the_original_document_work(settings: Settings) -> None:
    reader = login(settings, "default", "clickhouse123")
    assert reader.command("SELECT currentUser()") == "default"
    assert reader.command("SELECT count() >= 0 FROM raw.users") == 1
    reader.close()
    with NativeClient(
        settings.clickhouse_host, settings.clickhouse_tcp_port, user="default", password="clickhouse123"
    ) as native:
        assert native.execute("SELECT currentUser()") == [("default",)]


def test_ports_that_a_reader_closed_are_opened_again(settings: Settings) -> None:
    reader = clickhouse_connect.get_client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_http_port,
        username=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
    )
    reader.command("SYSTEM STOP LISTEN TCP")
    reader.close()

    def native_port_is_open() -> bool:
        with socket.socket() as probe:
            address = (settings.clickhouse_host, settings.clickhouse_tcp_port)
            return probe.connect_ex(address) == 0

    wait_until(native_port_is_open, "the native port is open again", seconds=_PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO raw.users (user_id) VALUES (1)",
        "DROP TABLE raw.users",
        "SELECT * FROM file('/etc/hosts', LineAsString)",
        "SELECT file('/etc/hosts')",
        "SELECT file('/etc/hosts', 'nothing')",
        "SELECT * FROM python('x')",
        "SELECT * FROM python('x') SETTINGS allow_python_table_function = 1",
        "SELECT * FROM os",
        "SELECT 1 INTO OUTFILE '/tmp/one'",
        "BACKUP DATABASE raw TO File('/tmp/raw')",
        "SELECT * FROM raw.users_queue SETTINGS stream_like_engine_allow_direct_select = 1",
        "SELECT 1 SETTINGS max_memory_usage = 100000000000",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SYSTEM STOP LISTEN HTTP",
        "SELECT query FROM system.processes",
        "SELECT * FROM system.users",
        "KILL QUERY WHERE user = 'default'",
        "CREATE TEMPORARY TABLE mine (a Int8)",
        "SELECT * FROM url('http://127.0.0.1/', LineAsString)",
        "SELECT * FROM s3('http://127.0.0.1/bucket/object', 'CSV', 'a Int8')",
        "SELECT * FROM sqlite('/tmp/one', 'two')",
    ],
)
def test_readers_only_read(settings: Settings, query: str) -> None:
    reader = login(settings, settings.clickhouse_user, settings.clickhouse_password.get_secret_value())
    with pytest.raises(ClickHouseError) as refused:
        reader.command(query)
    reader.close()
    for place in (paths.repo_root(), paths.layout(settings).data, "site-packages"):
        assert str(place) not in str(refused.value)
