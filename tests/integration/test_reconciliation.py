"""The reconciliation beside a running stream: it repairs what is damaged, counts it, and nothing else."""

from __future__ import annotations

import json
import secrets
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from rich.console import Console

from dataflix_clickhouse import warehouse as clickhouse
from dataflix_clients import postgres
from dataflix_contract import Settings, tables
from dataflix_contract.console import Progress
from dataflix_reconciliation import warehouse_staging as staging
from dataflix_reconciliation.reconcile import Timeouts, reconcile
from dataflix_reconciliation.report import Counts, Report, Stream
from support.equality import differences
from support.load import MixedLoad
from support.reconciliation import reconciled
from support.stack import ROOT, Stack
from support.waiting import wait_until

RECONCILE = "bin/dataflix-reconcile"
#: A machine that is busy with other things may be slow.
SECONDS = 240
TIMEOUTS = Timeouts(fence_s=SECONDS, stream_s=SECONDS)
USERS = tables()["users"]

#: No change of the source has a version like this.
IMPOSSIBLE = 1 << 62


@pytest.fixture
def owner(settings: Settings) -> Iterator[Client]:
    """ClickHouse's owner, who can do harm behind the stream's back."""
    client = clickhouse.connect(settings)
    yield client
    client.close()


class Meddler(Progress):
    """Is told how far a reconciliation is, and does things at that moment."""

    def __init__(
        self,
        waiting: Callable[[], None] = lambda: None,
        loading: Callable[[], None] = lambda: None,
        comparing: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("test", Console(quiet=True), None, None, 0)
        self._hooks = {"waiting for open": waiting, "loading": loading, "comparing": comparing}

    def tell(self, text: str) -> None:
        for start in [start for start in self._hooks if text.startswith(start)]:
            self._hooks.pop(start)()


def found(report: dict[str, Any]) -> Counts:
    return Counts(*(report[name] for name in ("missing", "different", "ghosts")))


def add_users(source: psycopg.Connection, count: int, city: str) -> list[int]:
    rows = source.execute(
        "INSERT INTO users (name, email, city)"
        " SELECT 'Recon Person ' || n, 'recon' || n || '@' || %(city)s || '.example', %(city)s"
        " FROM generate_series(1, %(count)s) AS n RETURNING user_id",
        {"city": city, "count": count},
    ).fetchall()
    return sorted(int(row[0]) for row in rows)


def wait_for_users(warehouse: Client, city: str, count: int) -> None:
    query = f"SELECT count() FROM raw.users FINAL WHERE city = '{city}'"
    wait_until(lambda: warehouse.command(query) == count, f"{count} users of {city} have come", SECONDS)


def strange() -> int:
    """A key that no row has or ever had."""
    return -secrets.randbelow(1 << 60)


def left_in_staging(settings: Settings) -> list[str]:
    with staging.connected(settings) as client:
        rows = client.query("SELECT name FROM system.tables WHERE database = 'staging'").result_rows
    return [str(name) for (name,) in rows]


def test_damage_is_repaired_and_counted_exactly_beside_writers(
    settings: Settings, source: psycopg.Connection, warehouse: Client, owner: Client
) -> None:
    city = f"Recon {uuid.uuid4().hex[:8]}"
    people = add_users(source, 40, city)
    first, last = people[0], people[-1]
    [film] = source.execute("SELECT min(movie_id) FROM movies").fetchone() or [0]
    source.execute("INSERT INTO watched_movies SELECT unnest(%s::bigint[]), %s", [people, film])
    source.execute(
        "INSERT INTO ratings (user_id, movie_id, rating) SELECT unnest(%s::bigint[]), %s, 4.5", [people, film]
    )
    gone = people.pop()
    source.execute("DELETE FROM users WHERE user_id = %s", [gone])
    wait_for_users(warehouse, city, len(people))
    rated = f"SELECT count() FROM raw.ratings FINAL WHERE user_id BETWEEN {first} AND {last}"
    wait_until(lambda: warehouse.command(rated) == len(people), "the ratings have come", SECONDS)

    def harm(*statements: str) -> None:
        for statement in statements:
            owner.command(statement, settings={"mutations_sync": 1})

    changed = people[3:6]
    harm(
        # users: 3 missing, 2 + 1 different, 2 + 1 ghosts
        f"DELETE FROM raw.users WHERE user_id IN {tuple(people[:3])}",
        "INSERT INTO raw.users SELECT * REPLACE ('vandal' AS city)"
        f" FROM raw.users FINAL WHERE user_id = {changed[0]}",
        f"ALTER TABLE raw.users UPDATE city = 'vandal' WHERE user_id = {changed[1]}",
        f"ALTER TABLE raw.users UPDATE city = NULL WHERE user_id = {changed[2]}",
        f"INSERT INTO raw.users (user_id, _version) VALUES ({strange()}, 5), ({strange()}, 6)",
        f"DELETE FROM raw.users WHERE user_id = {gone}",  # its tombstone
        f"INSERT INTO raw.users (user_id, _version) VALUES ({gone}, 7)",
        # ratings: 1 missing, as a tombstone that nobody sent; 2 different; 1 ghost
        "INSERT INTO raw.ratings SELECT * REPLACE (_version + 1 AS _version, 1 AS _deleted)"
        f" FROM raw.ratings FINAL WHERE user_id = {people[10]} AND movie_id = {film}",
        f"ALTER TABLE raw.ratings UPDATE rating = 0.5 WHERE user_id IN {tuple(people[11:13])}",
        f"INSERT INTO raw.ratings (user_id, movie_id, rating, _version) VALUES ({strange()}, 1, 1.5, 1)",
        # watched_movies: 1 different, by a microsecond
        "ALTER TABLE raw.watched_movies UPDATE watched_at = watched_at + toIntervalMicrosecond(1)"
        f" WHERE user_id = {people[20]}",
    )
    renamed, removed, reborn, moved = people[30:34]
    across = postgres.connect(settings, settings.postgres_owner)
    across.autocommit = False
    blocker = postgres.connect(settings, settings.postgres_owner)
    blocker.autocommit = False
    blocker.execute("UPDATE users SET state = 'blocker' WHERE user_id = %s", [people[29]])

    def after_the_fence() -> None:
        """The fence is read, the snapshot is not: a transaction that stays open across it."""
        across.execute("UPDATE users SET state = 'across' WHERE user_id = %s", [renamed])
        blocker.commit()

    def during_the_load() -> None:
        source.execute("DELETE FROM users WHERE user_id = %s", [removed])
        with source.transaction():
            source.execute("DELETE FROM users WHERE user_id = %s", [reborn])
            source.execute("INSERT INTO users (user_id, city) VALUES (%s, 'Reborn')", [reborn])
        source.execute("UPDATE users SET user_id = user_id + 5000000 WHERE user_id = %s", [moved])

    with across, blocker, MixedLoad(settings) as load:
        meddler = Meddler(after_the_fence, during_the_load, across.commit)
        users = reconcile(settings, USERS, "test", TIMEOUTS, meddler)
        others = reconciled(settings, "ratings", "watched_movies", "movies")
        wait_until(lambda: sum(load.committed.values()) > 200, "there were changes meanwhile")
    assert load.faults == []
    assert users.counts == Counts(missing=3, different=3, ghosts=3)
    assert users.stream is Stream.PASSED
    assert users.ahead == 0
    assert found(others["ratings"]) == Counts(missing=1, different=2, ghosts=1)
    assert found(others["watched_movies"]) == Counts(different=1)
    assert found(others["movies"]) == Counts()
    assert others["ratings"]["stream"] == others["watched_movies"]["stream"] == "passed"
    wait_until(lambda: differences(source, warehouse, settings) == [], "the stream has caught up", SECONDS)

    again = reconciled(settings)
    assert [found(report) for report in again.values()] == [Counts()] * len(tables())
    assert {report["in_flight"] for report in again.values()} == {0}
    assert left_in_staging(settings) == []
    source.execute("DELETE FROM users WHERE city IN (%s, 'Reborn')", [city])


def test_versions_that_the_source_cannot_have_given_are_outbid(
    stack: Stack, settings: Settings, source: psycopg.Connection, warehouse: Client, owner: Client
) -> None:
    city = f"Recon {uuid.uuid4().hex[:8]}"
    altered, hidden, sound = add_users(source, 3, city)
    wait_for_users(warehouse, city, 3)
    owner.command(
        f"INSERT INTO raw.users SELECT * REPLACE ({IMPOSSIBLE} AS _version, 'vandal' AS city)"
        f" FROM raw.users FINAL WHERE user_id = {altered}"
    )
    owner.command(
        f"INSERT INTO raw.users (user_id, _version, _deleted) VALUES ({hidden}, {IMPOSSIBLE}, 1),"
        f" (-73, {IMPOSSIBLE}, 0)"
    )
    try:
        report = reconciled(settings, "users")["users"]
        assert found(report) == Counts(1, 1, 1)
        assert report["ahead"] == 3
        wait_for_users(warehouse, city, 3)
        assert warehouse.command("SELECT count() FROM raw.users FINAL WHERE user_id = -73") == 0
        told = stack.run(RECONCILE, "users", "--json")
        again = json.loads(told.stdout)
        assert (found(again), again["ahead"]) == (Counts(), 3)
        assert "the source's WAL has not reached" in told.stderr
    finally:
        owner.command(f"DELETE FROM raw.users WHERE _version = {IMPOSSIBLE}")
        source.execute("DELETE FROM users WHERE city = %s", [city])
    assert found(reconciled(settings, "users")["users"]).ghosts == 0
    assert sound


def test_odd_rows_are_the_same_by_both_ways(
    settings: Settings, source: psycopg.Connection, warehouse: Client, owner: Client
) -> None:
    """What the stream delivered equals what the reconciliation loads, and the other way round."""
    texts = [
        "",
        " ",
        "\\N",
        "NULL",
        'say "hi", it\'s {a,b}',
        "tab\tline\nreturn\r\\",
        "Ünïcödé 🎬\u2028",
        "\x01\x7f",
    ]
    moments = ["1900-01-01 00:00:00Z", "1969-12-31 23:59:59.999999Z", "2299-12-31 23:59:59.999999Z"]
    for number, text in enumerate(texts):
        source.execute(
            "INSERT INTO users (user_id, name, email, birth_year, city, state, created_at)"
            " VALUES (%s, %s, %s, %s, %s, NULL, %s)",
            [-100 - number, text, f"{text}{number}", 1900 + number, text, moments[number % len(moments)]],
        )
        source.execute(
            "INSERT INTO movies (movie_id, title, genres, overview, created_at) VALUES (%s, %s, %s, %s, %s)",
            [-100 - number, f"x{text}", texts[:number], text or None, moments[number % len(moments)]],
        )
    odd = "SELECT count() FROM raw.movies FINAL WHERE movie_id < 0"
    wait_until(lambda: warehouse.command(odd) == len(texts), "the films have come", SECONDS)
    wait_until(lambda: differences(source, warehouse, settings) == [], "the stream has brought them", SECONDS)
    reports = reconciled(settings, "users", "movies")
    assert [found(report) for report in reports.values()] == [Counts(), Counts()]
    assert {report["stream"] for report in reports.values()} == {"unasked"}

    owner.command("DELETE FROM raw.users WHERE user_id < 0")
    owner.command("DELETE FROM raw.movies WHERE movie_id < 0")
    reports = reconciled(settings, "users", "movies")
    assert [found(report) for report in reports.values()] == [Counts(missing=len(texts))] * 2
    assert differences(source, warehouse, settings) == []
    source.execute("DELETE FROM users WHERE user_id < 0")
    source.execute("DELETE FROM movies WHERE movie_id < 0")


def test_a_transaction_that_does_not_end_is_named_and_nothing_is_loaded(
    stack: Stack, settings: Settings
) -> None:
    with postgres.connect(settings, settings.postgres_owner) as stuck, stuck.transaction():
        pid = stuck.info.backend_pid
        stuck.execute("UPDATE users SET city = city WHERE user_id = 1")
        refused = stack.run(RECONCILE, "users", "--fence-timeout", "1", "--json", check=False)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert f"pid {pid}" in refused.stderr
    assert "UPDATE" not in refused.stderr
    assert left_in_staging(settings) == []


def test_two_at_once_find_the_damage_once(settings: Settings, owner: Client) -> None:
    owner.command(f"INSERT INTO raw.movies (movie_id, title, _version) VALUES ({strange()}, 'Ghost', 1)")
    command = [RECONCILE, "movies", "--json"]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    reports = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(report["ghosts"] for report in reports) == [0, 1]
    assert left_in_staging(settings) == []


def test_reports_are_kept_and_a_killed_attempts_findings_count_for_its_run(
    settings: Settings, warehouse: Client
) -> None:
    run = f"test-{uuid.uuid4().hex}"
    killed = Report(
        run_id=run,
        table="movies",
        fence=1,
        rows=1,
        counts=Counts(missing=3),
        truncated=0,
        in_flight=0,
        ahead=0,
        orphans=0,
        stream=Stream.PASSED,
        source_shape="",
        started_at=datetime.now(UTC),
        seconds=1.0,
    )
    with staging.connected(settings) as client:
        staging.record(client, killed, done=False)
    finished = reconciled(settings, "movies", run_id=run)["movies"]
    assert found(finished) == Counts(missing=3)
    kept = warehouse.query(
        "SELECT missing, different, ghosts, stream, done, rows FROM ops.reconciliations FINAL"
        " WHERE run_id = {run:String}",
        parameters={"run": run},
    ).result_rows
    assert kept == [(3, 0, 0, "passed", True, finished["rows"])]
    again = reconciled(settings, "movies", run_id=run)["movies"]
    assert found(again) == Counts()


def test_a_wrong_login_and_a_wrong_table_are_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no table" in stack.run(RECONCILE, "rating", check=False).stderr
    monkeypatch.setenv("DATAFLIX_CLICKHOUSE_BATCH_PASSWORD", "wrong")
    refused = stack.run(RECONCILE, "movies", check=False)
    assert refused.returncode == 1
    assert "ClickHouse" in refused.stderr
    assert "Traceback" not in refused.stderr
