"""Capture that stops or loses changes while every process runs: the status sees it, and its cure works."""

from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.preflight import judge_source
from dataflix_clients.replication_slot import SLOT_SUBJECT, read_slot
from dataflix_clients.source_facts import read_facts
from dataflix_clients.stack_status import read_capture
from dataflix_contract import Settings
from dataflix_contract.schema import SLOT
from support.backend import Api, running_backend
from support.equality import differences
from support.stack import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.disruptive

CONNECTOR = "bin/dataflix-connector"
_EXCLUDED = "message.prefix.exclude.list"


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with postgres.connect(settings, settings.postgres_admin) as connection:
        yield connection


def add_user(source: psycopg.Connection, name: str) -> int:
    row = source.execute("INSERT INTO users (name) VALUES (%s) RETURNING user_id", [name]).fetchone()
    assert row is not None
    return int(row[0])


def wait_captured(source: psycopg.Connection, warehouse: Client, name: str) -> None:
    """Wait until a user that is added now is in the warehouse."""
    user_id = add_user(source, name)
    query = f"SELECT count() FROM raw.users WHERE user_id = {user_id}"
    wait_until(lambda: warehouse.command(query), f"user {user_id} is in the warehouse")


def slot_faults(settings: Settings) -> list[str]:
    return [fault for fault in read_capture(settings).faults if "does not advance" in fault]


def test_messages_in_the_wal_do_not_stop_the_capture(
    settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    """As other tools write them, by any role, with any prefix."""
    for transactional in (True, False):
        for prefix in ("x", "", "a\nb", ",", "public.users", "long" * 5000):
            source.execute(
                "SELECT pg_logical_emit_message(%s, %s, 'y') FROM generate_series(1, 200)",
                [transactional, prefix],
            )
    wait_captured(source, warehouse, "after messages")
    assert read_capture(settings).faults == []


def test_a_stuck_slot_is_reported_within_a_minute_and_a_registration_heals_it(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    with ConnectClient(settings) as connect:
        old = connect.config() or {}
        connect.put_config({name: text for name, text in old.items() if name not in {_EXCLUDED, "name"}})
        wait_captured(source, warehouse, "before the message")
        source.execute("SELECT pg_logical_emit_message(false, 'x', 'y')")
        wait_until(lambda: slot_faults(settings), "the slot is reported", seconds=60, every=1)
        assert connect.status().running, "Kafka Connect does not know"
    assert any("does not advance" in fault for fault in stack.status()["faults"])
    shown = stack.run(CONNECTOR, "status", check=False)
    assert shown.returncode == 1
    assert "does not advance" in shown.stderr
    metrics = stack.run("bin/dataflix-metrics").stdout
    [stalled] = [line for line in metrics.splitlines() if line.startswith("dataflix_slot_stalled_seconds ")]
    assert float(stalled.split()[1]) >= 40

    stack.run(CONNECTOR, "register")
    wait_captured(source, warehouse, "after the registration")
    assert read_capture(settings).faults == []


def test_large_transactions_that_are_captured_or_not_are_no_stuck_slot(
    settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    source.execute(
        "CREATE TABLE scratch AS SELECT n, repeat('x', 50) AS t FROM generate_series(1, 1000000) n"
    )
    source.execute("DROP TABLE scratch")
    source.execute("INSERT INTO users (name) SELECT 'bulk ' || n FROM generate_series(1, 200000) n")
    row = source.execute("SELECT max(user_id) FROM users").fetchone()
    assert row is not None
    query = f"SELECT count() FROM raw.users WHERE user_id = {row[0]}"
    while not warehouse.command(query):
        assert read_capture(settings).faults == []
    source.execute("DELETE FROM users WHERE name LIKE 'bulk %'")
    wait_captured(source, warehouse, "after the bulk")


def test_a_slot_that_was_advanced_behind_debeziums_back_needs_no_repair_of_the_stream(
    settings: Settings,
    source: psycopg.Connection,
    admin: psycopg.Connection,
    warehouse: Client,
) -> None:
    """Nothing was written meanwhile that was not captured: the connector goes on from its own offsets."""
    wait_captured(source, warehouse, "before the advance")
    with ConnectClient(settings) as connect:
        connect.stop()

        def advanced() -> bool:
            try:
                admin.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [SLOT])
            except psycopg.errors.ObjectInUse:
                return False
            return True

        wait_until(advanced, "the slot is free, and advanced")
        position = confirmed(admin)
        connect.resume()
    wait_captured(source, warehouse, "after the advance")
    # Until then a restart would fail: Debezium begins it by advancing the slot to the last commit that it has
    # noted, which PostgreSQL refuses as long as that one is before the slot's position.
    wait_until(lambda: confirmed(admin) > position, "the connector has confirmed a position of its own")
    wait_until(lambda: not read_capture(settings).faults, "nothing is wrong with the capture")
    assert differences(source, warehouse, settings) == []


def test_a_slot_that_is_about_to_be_lost_is_named_and_its_cure_saves_it(
    stack: Stack,
    settings: Settings,
    source: psycopg.Connection,
    admin: psycopg.Connection,
    warehouse: Client,
) -> None:
    with ConnectClient(settings) as connect:
        connect.stop()
        added = add_user(source, "behind the slot that is about to be lost")
        admin.execute("CHECKPOINT")  # the next one, which would lose the slot, comes in five minutes
        admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        try:
            admin.execute("SELECT pg_reload_conf()")
            for _ in range(3):
                admin.execute("SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_switch_wal()")
            wait_until(lambda: wal_status(admin) == "unreserved", "the slot holds more than it may")
            shown = stack.run(CONNECTOR, "status", check=False)
        finally:
            admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            admin.execute("SELECT pg_reload_conf()")
        assert shown.returncode == 1
        assert "is about to be lost" in shown.stderr
        assert "ALTER SYSTEM SET max_slot_wal_keep_size" in shown.stderr
        wait_until(lambda: wal_status(admin) in {"reserved", "extended"}, "the slot is safe again")
    stack.run(CONNECTOR, "register")
    query = f"SELECT count() FROM raw.users WHERE user_id = {added}"
    wait_until(lambda: warehouse.command(query), "the change behind the slot is in the warehouse")
    assert differences(source, warehouse, settings) == []


def confirmed(admin: psycopg.Connection) -> int:
    slot = read_slot(admin)
    assert slot is not None
    assert slot.confirmed_lsn is not None
    return slot.confirmed_lsn


def wal_status(admin: psycopg.Connection) -> str | None:
    slot = read_slot(admin)
    return slot.wal_status if slot else None


#: What somebody did to the source, how it is undone, and what the preflight says about it.
MISHAPS: list[tuple[LiteralString, LiteralString, str]] = [
    (
        "ALTER PUBLICATION dataflix DROP TABLE ratings",
        "ALTER PUBLICATION dataflix ADD TABLE ratings",
        "does not publish public.ratings",
    ),
    (
        "ALTER TABLE users RENAME COLUMN city TO town",
        "ALTER TABLE users RENAME COLUMN town TO city",
        "column public.users.city is in the contract and not in the database",
    ),
]


@pytest.mark.parametrize("mishap", MISHAPS, ids=["unpublished table", "renamed column"])
def test_what_the_preflight_knows_is_in_every_status(
    stack: Stack,
    settings: Settings,
    source: psycopg.Connection,
    mishap: tuple[LiteralString, LiteralString, str],
) -> None:
    done, undone, says = mishap
    api = Api(settings.backend_url)
    source.execute(done)
    try:
        assert any(says in fault for fault in stack.status()["faults"])
        shown = stack.run(CONNECTOR, "status", check=False)
        assert shown.returncode == 1
        assert says in shown.stderr
        page = "the page says it"
        wait_until(lambda: any(says in fault for fault in api.get("/pipeline")["faults"]), page, every=1)
    finally:
        source.execute(undone)
    assert not any(says in fault for fault in stack.status()["faults"])


def test_the_api_writes_to_partitioned_tables_and_the_preflight_asks_for_their_root(
    migrated: Settings, empty: psycopg.Connection, stack: Stack, tmp_path: Path
) -> None:
    for table in ("ratings", "watched_movies"):
        empty.execute(_partitioned(table))
    with postgres.connect(migrated, migrated.postgres_admin) as admin:
        assert _cures(admin, migrated) == [
            "ALTER PUBLICATION dataflix SET (publish_via_partition_root = true)"
        ]
        empty.execute("ALTER PUBLICATION dataflix SET (publish_via_partition_root = true)")
        assert _cures(admin, migrated) == []
    empty.execute("INSERT INTO movies (title) VALUES ('Heat')")
    with running_backend(migrated, tmp_path, stack.env_file, postgres_db=migrated.postgres_db) as backend:
        api = Api(backend.settings.backend_url)
        user_id = api.new_user()
        assert api.post("/ratings", 201, user_id=user_id, movie_id=1, rating=4.5)["watched"] == "now"
        assert api.post("/ratings", 200, user_id=user_id, movie_id=1, rating=3.0)["watched"] == "already"
        assert api.post("/watched", 200, user_id=user_id, movie_id=1)["watched_at"]
        assert api.get(f"/users/{user_id}/ratings")["items"][0]["rating"] == 3.0
        api.delete(f"/watched/{user_id}/1")


def _cures(admin: psycopg.Connection, settings: Settings) -> list[str]:
    """What the preflight asks for in a database of a test's own: the slot is another database's."""
    found = judge_source(read_facts(admin, settings), settings)
    return [finding.cure for finding in found if finding.subject != SLOT_SUBJECT]


def _partitioned(table: str) -> str:
    """Put a partitioned table in the place of another, as a person would, with its rights."""
    key = "FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE"
    if table == "ratings":
        key = "FOREIGN KEY (user_id, movie_id) REFERENCES watched_movies ON DELETE CASCADE"
    partitions = "".join(
        f"CREATE TABLE {table}_{n} PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER {n});"
        f"ALTER TABLE {table}_{n} REPLICA IDENTITY FULL;"
        for n in range(2)
    )
    return (
        f"ALTER TABLE {table} RENAME TO {table}_old; ALTER PUBLICATION dataflix DROP TABLE {table}_old;"
        f"CREATE TABLE {table} (LIKE {table}_old INCLUDING ALL) PARTITION BY HASH (user_id);{partitions}"
        f"DROP TABLE {table}_old CASCADE; ALTER TABLE {table} ADD {key};"
        f"ALTER TABLE {table} REPLICA IDENTITY FULL; ALTER PUBLICATION dataflix ADD TABLE {table};"
        f"GRANT SELECT ON {table} TO debezium;"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO dataflix_api"
    )


def test_the_apis_role_sees_what_the_status_sees(settings: Settings) -> None:
    """The live view asks over the API's own connections, and judges the replication role's rights."""
    with (
        postgres.connect(settings, settings.postgres_debezium) as debezium,
        psycopg.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            dbname=settings.postgres_db,
            user=settings.postgres_api_user,
            password=settings.postgres_api_password.get_secret_value(),
        ) as api,
    ):
        assert judge_source(read_facts(api, settings), settings) == []
        own, other = read_facts(debezium, settings), read_facts(api, settings)
        assert (own.tables, own.publication) == (other.tables, other.publication)
        assert other.slot is not None
        assert other.slot.active_user == settings.debezium_user
