"""Every program works in a database whose sessions are set up for something else."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient
from dataflix_clients.fence import take_fence
from dataflix_clients.source_facts import read_facts
from dataflix_contract import Settings, tables
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, SESSION, options
from dataflix_contract.schema import HEARTBEAT_TABLE
from dataflix_postgres.bootstrap import ensure_roles_and_database
from dataflix_postgres.database import connect_admin, connect_owner
from dataflix_postgres.generator import catalogue, histories
from dataflix_postgres.migrations import set_up, shipped_migrations
from dataflix_postgres.seed import load, sample_rows
from dataflix_reconciliation.source_snapshot import take_snapshot
from support.backend import Api, running_backend
from support.waiting import wait_until

#: What an administrator may have chosen, each of which has broken a program somewhere.
CHOSEN = {
    "client_encoding": "LATIN1",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "search_path": "elsewhere",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "row_security": "on",
}


def choose(admin: psycopg.Connection, settings: Settings) -> None:
    """Have the sessions of a database begin with these settings from now on."""
    for name, value in CHOSEN.items():
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(settings.postgres_db),
                sql.Identifier(name),
                sql.SQL(", ").join(map(sql.Literal, value.split(", "))),
            )
        )


@pytest.fixture
def chosen(unmigrated: Settings) -> Iterator[Settings]:
    """An empty database with these settings, in which the owner's sessions begin as another role."""
    group = f"{unmigrated.postgres_db}_group"
    with connect_admin(unmigrated) as admin:
        ensure_roles_and_database(admin, unmigrated)
        choose(admin, unmigrated)
        database, owner = sql.Identifier(unmigrated.postgres_db), sql.Identifier(unmigrated.postgres_user)
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(group)))
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), owner))
        admin.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET role = {}").format(owner, database, sql.Literal(group))
        )
    yield unmigrated
    with connect_admin(unmigrated) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(group)))


def test_the_choices_hold_for_whoever_states_nothing(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for Airflow and MLflow, whose libpq finds what to state in its environment."""
    login = make_conninfo(
        host=chosen.postgres_host,
        port=chosen.postgres_port,
        dbname=chosen.postgres_db,
        user=chosen.postgres_user,
        password=chosen.postgres_password.get_secret_value(),
    )

    def in_use(names: Iterable[str]) -> dict[str, str]:
        with psycopg.connect(login) as connection:
            query = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
            return dict(connection.execute(query, [list(names)]).fetchall())

    lasting = [name for name in CHOSEN if not name.endswith("timeout")]
    with connect_admin(chosen) as admin:  # else it would be over before it is asked
        for name in CHOSEN.keys() - set(lasting):
            admin.execute(f"ALTER DATABASE {chosen.postgres_db} SET {name} = '7s'")
    assert in_use(CHOSEN)["search_path"] == "elsewhere"
    assert in_use(["role"])["role"] == f"{chosen.postgres_db}_group"
    monkeypatch.setenv(OPTIONS_VARIABLE, options())
    assert in_use(SESSION) == dict(SESSION)


def test_every_program_works_whatever_the_database_sets(chosen: Settings, tmp_path: Path) -> None:
    assert set_up(chosen) == (shipped_migrations(), [])
    rows = sample_rows(catalogue(), histories(catalogue(), 3, 5, 0))
    with connect_owner(chosen) as owner:
        load(owner, rows)
        made = owner.execute("SELECT name, created_at FROM users ORDER BY user_id").fetchall()
    assert made == [(row[1], row[6]) for row in rows.users]
    api_writes_and_reads(chosen, tmp_path)
    with (
        postgres.connect(chosen, chosen.postgres_debezium) as source,
        postgres.connect(chosen, chosen.postgres_admin) as admin,
    ):
        facts = read_facts(source, chosen)
        assert facts.tables.keys() >= tables().keys()
        assert facts.publication
        assert facts.publication.complete
        assert take_fence(admin, 10) > 0
    with take_snapshot(chosen, tables()["users"]) as snapshot:
        found = [row for block in snapshot.blocks for row in block.to_pylist()]
    assert {row["name"] for row in found} == {row[1] for row in rows.users} | {"Zoë ⌘"}
    assert {row["created_at"] for row in found} >= {row[6] for row in rows.users}
    for connection in (
        postgres.connect(chosen, chosen.postgres_owner),
        postgres.connect(chosen, chosen.postgres_admin),
    ):
        with connection:
            ((name,),) = connection.execute("SELECT name FROM users WHERE name LIKE 'Zo%'").fetchall()
        assert name == "Zoë ⌘"


def api_writes_and_reads(settings: Settings, folder: Path) -> None:
    with running_backend(settings, folder) as backend:
        api = Api(backend.settings.backend_url)
        name, email = "Zoë ⌘", "back\\slash'@example.org"
        user = api.post("/users", key="one", name=name, email=email)
        assert api.post("/users", key="one", name=name, email=email) == user
        made = datetime.fromisoformat(user["created_at"])
        assert abs((datetime.now(UTC) - made).total_seconds()) < 60
        found = api.pages("/movies", q="the", limit=7)
        assert len(found) == len({one["movie_id"] for one in found})
        for film in found[:3]:
            api.post("/ratings", user_id=user["user_id"], movie_id=film["movie_id"], rating=4.5)
        rated = [one["movie"]["movie_id"] for one in api.pages(f"/users/{user['user_id']}/ratings", limit=1)]
        assert rated == [one["movie_id"] for one in reversed(found[:3])]
        recommended = api.get(f"/recommendations/{user['user_id']}")["items"]
        assert recommended
        assert not {one["movie_id"] for one in recommended} & set(rated)


def test_capture_works_whatever_the_database_sets(
    settings: Settings, source: psycopg.Connection, warehouse: Client
) -> None:
    moment = datetime(2024, 3, 4, 5, 6, 7, 123456, UTC)
    with connect_admin(settings) as admin:
        choose(admin, settings)
        try:
            restart_capture(settings)
            row = source.execute(
                "INSERT INTO users (name, created_at) VALUES ('Zoë', %s) RETURNING user_id", [moment]
            ).fetchone()
            query = "SELECT created_at FROM raw.masked_users WHERE user_id = {id:Int64}"
            assert row

            def arrived() -> list[datetime]:
                found = warehouse.query(query, {"id": row[0]}).result_rows
                return [one[0].replace(tzinfo=UTC) for one in found]

            assert wait_until(arrived, "the row is in the warehouse", seconds=60) == [moment]
            ((beat,),) = source.execute(f"SELECT beat_at FROM {HEARTBEAT_TABLE}").fetchall()
            later = f"SELECT 1 FROM {HEARTBEAT_TABLE} WHERE beat_at > %s"
            wait_until(lambda: source.execute(later, [beat]).fetchone(), "the heart beats", seconds=60)
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(settings.postgres_db)))
    source.execute("DELETE FROM users WHERE user_id = %s", row)
    restart_capture(settings)


def restart_capture(settings: Settings) -> None:
    """Have Debezium open its sessions anew, and wait until its task is at work."""
    with ConnectClient(settings) as connect:
        connect.stop()
        connect.resume()
        wait_until(lambda: connect.status().running, "the connector is running", seconds=60)
