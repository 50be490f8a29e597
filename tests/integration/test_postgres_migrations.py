"""dataflix-migrate against a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from pydantic import SecretStr

from dataflix_backend.database import make_pool
from dataflix_clients.preflight import judge_tables
from dataflix_clients.source_facts import read_facts
from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import ADVANCE_IDENTITIES, HEARTBEAT_TABLE, IDEMPOTENCY_TABLE, PUBLICATION
from dataflix_postgres.bootstrap import sole_migration
from dataflix_postgres.database import connect_admin
from dataflix_postgres.migrations import Migration, migrate, set_up, shipped_migrations


def _connect_debezium(settings: Settings, password: str) -> psycopg.Connection:
    return psycopg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        dbname=settings.postgres_db,
        user=settings.debezium_user,
        password=password,
        autocommit=True,
    )


@pytest.fixture
def debezium(migrated: Settings) -> psycopg.Connection:
    """The replication role's connection."""
    return _connect_debezium(migrated, migrated.debezium_password.get_secret_value())


def test_no_statement_of_a_migration_waits_for_a_lock_without_end(settings: Settings) -> None:
    with connect_admin(settings) as admin, sole_migration(admin):
        assert admin.execute("SHOW lock_timeout").fetchone() == ("1min",)


def test_a_second_run_changes_nothing(unmigrated: Settings) -> None:
    applied, notes = set_up(unmigrated)
    assert applied == shipped_migrations()
    assert notes == []
    assert set_up(unmigrated) == ((), [])


def test_two_runs_at_once_do_not_collide(unmigrated: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(set_up, [unmigrated] * 4))
    assert sorted(len(applied) for applied, _ in results) == [0, 0, 0, len(shipped_migrations())]


def test_the_database_is_what_the_contract_says(migrated: Settings, empty: psycopg.Connection) -> None:
    assert judge_tables(read_facts(empty, migrated), migrated) == []
    empty.execute("ALTER TABLE users ADD COLUMN phone text")
    [found] = judge_tables(read_facts(empty, migrated), migrated)
    assert found.text.startswith("column public.users.phone is not in the contract: it is not forwarded")


def test_a_changed_file_stops_the_run(migrated: Settings, empty: psycopg.Connection) -> None:
    empty.execute("UPDATE schema_migrations SET sha256 = 'of another text' WHERE version = 2")
    with pytest.raises(Fault, match=r"0002_replication\.sql changed"):
        set_up(migrated)


def test_a_failing_file_leaves_nothing_behind(empty: psycopg.Connection) -> None:
    shipped = shipped_migrations()
    broken = Migration(len(shipped) + 1, "0099_broken.sql", "CREATE TABLE half (); SELECT 1/0")
    with pytest.raises(Fault, match=r"0099_broken.sql failed and was undone: division by zero"):
        migrate(empty, [*shipped, broken])
    assert empty.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_an_unreachable_server_is_named(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"postgres_port": 1})
    with pytest.raises(Fault, match=r"cannot log in to PostgreSQL at .*:1 .*\n.*run.sh"):
        set_up(nowhere)


def test_two_roles_may_not_be_one(settings: Settings) -> None:
    same = settings.model_copy(update={"debezium_user": settings.postgres_user})
    with pytest.raises(Fault, match="POSTGRES_USER and DATAFLIX_DEBEZIUM_USER name one role"):
        set_up(same)


def test_everything_is_published_with_full_old_rows(empty: psycopg.Connection) -> None:
    published = empty.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1", [PUBLICATION]
    ).fetchall()
    assert [name for (name,) in published] == sorted([*tables(), HEARTBEAT_TABLE])
    full = empty.execute(
        "SELECT count(*) FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r' AND relreplident = 'f'",
        [list(tables())],
    ).fetchone()
    assert full == (len(tables()),)


def test_every_table_and_column_has_a_comment(empty: psycopg.Connection) -> None:
    without = empty.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relname = ANY(%s) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
        [[*tables(), HEARTBEAT_TABLE, IDEMPOTENCY_TABLE, "movielens_imports"]],
    ).fetchall()
    assert without == []


def test_the_replication_role_reads_and_beats_and_nothing_else(debezium: psycopg.Connection) -> None:
    with debezium:
        for name in tables():
            debezium.execute(f"SELECT * FROM {name}")
        assert debezium.execute(f"UPDATE {HEARTBEAT_TABLE} SET beat_at = now()").rowcount == 1
        for statement in (
            "INSERT INTO users (name) VALUES ('x')",
            "UPDATE users SET name = 'x'",
            "DELETE FROM ratings",
            f"DELETE FROM {HEARTBEAT_TABLE}",
            "SELECT * FROM movielens_imports",
            "CREATE TABLE mine ()",
            "CREATE TEMP TABLE mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                debezium.execute(statement)


def test_the_apis_role_reads_and_writes_rows_and_nothing_else(migrated: Settings) -> None:
    with make_pool(migrated) as pool, pool.connection() as api:
        api.execute("INSERT INTO users (name) VALUES ('x')")
        api.execute("INSERT INTO idempotency_keys (key_digest, request_digest) VALUES ('', '')")
        api.execute(f"SELECT {ADVANCE_IDENTITIES}()".encode())
        for name in (*tables(), IDEMPOTENCY_TABLE):
            api.execute(f"DELETE FROM {name}".encode())
        for statement in (
            "TRUNCATE users",
            "ALTER TABLE users ADD COLUMN phone text",
            "DROP TABLE idempotency_keys",
            "SELECT setval('users_user_id_seq', 1)",
            f"UPDATE {HEARTBEAT_TABLE} SET beat_at = now()",
            "SELECT * FROM movielens_imports",
            "SELECT * FROM pg_authid",
            "CREATE TABLE mine ()",
            "CREATE TEMP TABLE mine ()",
            "COPY users TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(statement.encode())


def test_only_the_replication_role_may_replicate(migrated: Settings) -> None:
    with connect_admin(migrated) as admin:
        rows = admin.execute(
            "SELECT rolname, rolreplication, rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls"
            " FROM pg_roles WHERE rolname = ANY(%s)",
            [[migrated.postgres_user, migrated.postgres_api_user, migrated.debezium_user]],
        ).fetchall()
    assert sorted(rows) == sorted(
        [
            (migrated.postgres_user, False, False),
            (migrated.postgres_api_user, False, False),
            (migrated.debezium_user, True, False),
        ]
    )


@pytest.fixture
def own_role(unmigrated: Settings) -> Iterator[Settings]:
    """Settings with a replication role of the test's own: the stack's connector needs the usual one."""
    role = f"{unmigrated.postgres_db}_debezium"
    yield unmigrated.model_copy(update={"debezium_user": role})
    with connect_admin(unmigrated) as admin:  # the role's rights are in the database: it goes first
        admin.execute(f"DROP DATABASE {unmigrated.postgres_db} WITH (FORCE)")
        admin.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("password", ['it\'s "new"; DROP', "päßwörd\\"])
def test_a_new_password_holds_from_the_next_run(own_role: Settings, password: str) -> None:
    for each in ("old", password):
        set_up(own_role.model_copy(update={"debezium_password": SecretStr(each)}))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _connect_debezium(own_role, "old")
    with _connect_debezium(own_role, password) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
