"""dbt through its webhook: the marts are right, bad rows are named and stay out, readers see whole tables."""

import threading
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from prometheus_client.parser import text_string_to_metric_families

from dataflix_clickhouse import warehouse as warehouse_owner
from dataflix_clients import clickhouse, postgres
from dataflix_contract import Settings, tables
from dataflix_dbt.project import PROJECT
from support.reconciliation import reconciled
from support.stack import Stack
from support.waiting import wait_until
from support.webhook import Answer, Webhook

MARTS = ("ratings", "users", "movies", "user_movie_matrix")
PRIOR_RATINGS = 10
#: A user of the tests' own, far from every id that PostgreSQL gives.
STRANGER = 1 << 60


@pytest.fixture(scope="module")
def webhook(stack: Stack) -> Webhook:
    return Webhook(stack.settings)


@pytest.fixture(scope="module")
def built(stack: Stack, webhook: Webhook) -> Answer:
    """A run over all that the source holds."""
    settings = stack.settings
    with postgres.connect(settings, settings.postgres_owner) as source:
        wanted = {name: one(source, f"SELECT count(*) FROM {name}") for name in tables()}
    reader = clickhouse.connect(settings, settings.clickhouse_reader)

    def landed() -> dict[str, object]:
        return {name: reader.command(f"SELECT count() FROM raw.masked_{name}") for name in wanted}

    wait_until(lambda: landed() == wanted, "raw has the source's rows")
    reader.close()
    return webhook.succeeds()


@pytest.fixture
def owner(settings: Settings) -> Iterator[Client]:
    client = warehouse_owner.connect(settings)
    yield client
    client.close()


def one(source: psycopg.Connection, query: str) -> object:
    row = source.execute(query).fetchone()
    assert row
    return row[0]


def test_a_run_tells_of_every_model_and_test(built: Answer, webhook: Webhook) -> None:
    results = {result["name"]: result for result in built["results"]}
    assert {results[mart]["status"] for mart in MARTS} == {"success"}
    assert {results[mart]["resource_type"] for mart in MARTS} == {"model"}
    assert results["ratings_agree_with_raw"]["status"] == "pass"
    assert results["movies.bayesian_rating_shrinks_towards_the_mean_of_all"]["resource_type"] == "unit_test"
    assert results["raw.ratings"]["resource_type"] == "source"
    assert built["failed_tests"] == []
    assert built["created_at"] <= built["started_at"] <= built["finished_at"]
    assert "Completed successfully" in webhook.logs(built["id"])


def test_a_run_writes_nothing_beside_the_models(webhook: Webhook) -> None:
    """In a container the project is on a file system that cannot be written to."""
    before = set(PROJECT.rglob("*"))
    webhook.succeeds(select="stg_movies")
    assert set(PROJECT.rglob("*")) == before
    assert not (PROJECT / "logs").exists(), "left by an older Dataflix: delete it"


@pytest.mark.parametrize(
    ("mart", "table"),
    [
        ("ratings", "ratings"),
        ("users", "users"),
        ("movies", "movies"),
        ("user_movie_matrix", "watched_movies"),
    ],
)
@pytest.mark.usefixtures("built")
def test_marts_have_the_sources_rows(
    source: psycopg.Connection, warehouse: Client, mart: str, table: str
) -> None:
    assert warehouse.command(f"SELECT count() FROM analytics.{mart}") == one(
        source, f"SELECT count(*) FROM {table}"
    )


@pytest.mark.usefixtures("built")
def test_statistics_are_those_of_the_source(source: psycopg.Connection, warehouse: Client) -> None:
    wanted = source.execute(
        "SELECT movie_id, count(rating)::int, avg(rating)::float8,"
        " ((SELECT avg(rating) FROM ratings) * %(prior)s + coalesce(sum(rating), 0))::float8"
        "   / (%(prior)s + count(rating))"
        " FROM movies LEFT JOIN ratings USING (movie_id) GROUP BY movie_id ORDER BY movie_id",
        {"prior": PRIOR_RATINGS},
    ).fetchall()
    found = warehouse.query(
        "SELECT movie_id, rating_count, rating_mean, bayesian_rating FROM analytics.movies ORDER BY movie_id"
    ).result_rows
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs)


@pytest.mark.usefixtures("built")
def test_the_matrix_has_each_users_deviations(source: psycopg.Connection, warehouse: Client) -> None:
    wanted = source.execute(
        "SELECT count(rating), sum(abs(rating - mean))::float8 FROM ratings"
        " JOIN (SELECT user_id, avg(rating) AS mean FROM ratings GROUP BY user_id) AS means USING (user_id)"
    ).fetchone()
    found = warehouse.query(
        "SELECT count(rating), sum(abs(deviation)) FROM analytics.user_movie_matrix"
    ).result_rows[0]
    assert found == pytest.approx(wanted)


@pytest.mark.usefixtures("built")
def test_the_documentation_is_shown(settings: Settings) -> None:
    page = httpx.get(f"{settings.dbt_url}/docs/", timeout=10).raise_for_status()
    assert "user_movie_matrix" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.usefixtures("built")
def test_the_server_is_well_and_counts(settings: Settings) -> None:
    assert httpx.get(f"{settings.dbt_url}/health/ready", timeout=10).json() == {"status": "ok", "faults": []}
    text = httpx.get(f"{settings.dbt_url}/metrics", timeout=10).text
    samples = {
        (sample.name, sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["dbt_runs_total", "succeeded"] >= 1
    assert samples["dbt_last_success_timestamp_seconds", None] > 0


def test_a_wrong_token_is_refused(settings: Settings) -> None:
    answer = httpx.post(f"{settings.dbt_url}/runs", headers={"Authorization": "Bearer wrong"}, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_runs_wait_for_each_other_and_equal_ones_join(webhook: Webhook) -> None:
    first = webhook.ask("stg_users")
    wait_until(lambda: webhook.get(first["id"])["status"] == "running", "the first run has begun")
    second, third = webhook.ask("stg_movies"), webhook.ask("stg_movies", key=f"after {first['id']}")
    assert second["status"] == "queued"
    assert third["id"] == second["id"]
    before, after = webhook.finished(first["id"]), webhook.finished(second["id"])
    assert (before["status"], after["status"]) == ("succeeded", "succeeded")
    assert before["finished_at"] <= after["started_at"]
    assert webhook.ask("stg_movies", key=f"after {first['id']}")["id"] == second["id"]


def test_an_address_that_is_not_masked_is_named_and_stays_out(
    built: Answer, webhook: Webhook, owner: Client, warehouse: Client
) -> None:
    owner.command(
        "INSERT INTO raw.users (user_id, email, city, created_at, updated_at, _version)"
        f" VALUES ({STRANGER}, 'eve@example.org', 'write to Eve@Example.org!', now64(6), now64(6), 1)"
    )
    try:
        run = webhook.finished(webhook.ask("stg_users+")["id"])
    finally:
        owner.command(
            f"ALTER TABLE raw.users DELETE WHERE user_id = {STRANGER}", settings={"mutations_sync": 1}
        )
    assert run["status"] == "failed"
    assert {"stg_users_email_is_a_pseudonym", "stg_users_hold_no_unmasked_email"} <= set(run["failed_tests"])
    assert "stg_users_email_is_a_pseudonym on stg_users (1 row)" in run["error"]
    (users,) = (result for result in run["results"] if result["name"] == "users")
    assert users["status"] == "skipped"
    assert warehouse.command(f"SELECT count() FROM analytics.users WHERE user_id = {STRANGER}") == 0
    assert "eve@" not in webhook.logs(run["id"]).lower()
    assert built["status"] == "succeeded"


@pytest.mark.usefixtures("built")
def test_a_mart_that_is_not_what_raw_is_fails_and_the_next_run_repairs_it(
    webhook: Webhook, owner: Client
) -> None:
    # of an age at which it should have been in the mart: newer rows are left to the next run
    owner.command(
        "INSERT INTO raw.movies (movie_id, title, created_at, _version, _ingested_at)"
        f" VALUES ({STRANGER}, 'The Stranger', now64(6), 1, now64(3) - INTERVAL 1 DAY)"
    )
    try:
        run = webhook.finished(webhook.ask("movies_agree_with_raw")["id"])
        webhook.succeeds("stg_movies+")
    finally:
        owner.command(
            f"ALTER TABLE raw.movies DELETE WHERE movie_id = {STRANGER}", settings={"mutations_sync": 1}
        )
    webhook.succeeds("movies")
    assert (run["status"], run["failed_tests"]) == ("failed", ["movies_agree_with_raw"])


@pytest.mark.usefixtures("built")
def test_rows_whose_user_or_film_is_gone_stay_out_of_the_marts_and_are_named_with_their_cure(
    stack: Stack, webhook: Webhook, source: psycopg.Connection, warehouse: Client, owner: Client
) -> None:
    """A film and a user are deleted without foreign keys. The rows in raw are then older than any run."""

    def orphans(*names: str) -> list[int]:
        counts = [
            warehouse.command(
                f"SELECT count() FROM {table} WHERE user_id = {STRANGER} OR movie_id = {STRANGER}"
            )
            for table in names
        ]
        return [int(str(count)) for count in counts]

    kept = one(source, "SELECT user_id FROM users ORDER BY user_id LIMIT 1")
    film = one(source, "SELECT movie_id FROM movies ORDER BY movie_id LIMIT 1")
    source.execute("INSERT INTO users (user_id, name) VALUES (%s, 'To be gone')", [STRANGER])
    source.execute("INSERT INTO movies (movie_id, title) VALUES (%s, 'To Be Gone')", [STRANGER])
    pairs = {"gone": STRANGER, "user": kept, "film": film}
    values = "(%(gone)s, %(film)s), (%(user)s, %(gone)s)"
    source.execute(f"INSERT INTO watched_movies (user_id, movie_id) VALUES {values}", pairs)
    stars = values.replace(")s)", ")s, 5.0)")
    source.execute(f"INSERT INTO ratings (user_id, movie_id, rating) VALUES {stars}", pairs)
    with postgres.connect(stack.settings, stack.settings.postgres_admin) as admin, admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute("DELETE FROM users WHERE user_id = %s", [STRANGER])
        admin.execute("DELETE FROM movies WHERE movie_id = %s", [STRANGER])
    gone = f"SELECT count() FROM raw.masked_movies WHERE movie_id = {STRANGER}"
    raw = ("raw.masked_ratings", "raw.masked_watched_movies")
    wait_until(lambda: orphans(*raw) == [2, 2] and warehouse.command(gone) == 0, "all of it is in raw")
    for table in tables().values():
        these = " OR ".join(f"{column} = {STRANGER}" for column in table.key)
        owner.command(
            f"ALTER TABLE raw.{table.name} UPDATE _ingested_at = _ingested_at - INTERVAL 1 DAY WHERE {these}",
            settings={"mutations_sync": 1},
        )
    reports = reconciled(stack.settings)
    assert {name: report["orphans"] for name, report in reports.items() if report["orphans"]} == {
        "watched_movies": 2,
        "ratings": 2,
    }
    assert {(report["missing"], report["different"], report["ghosts"]) for report in reports.values()} == {
        (0, 0, 0)
    }
    webhook.succeeds()
    assert orphans(*raw, "analytics.ratings", "analytics.user_movie_matrix") == [2, 2, 0, 0]
    warnings = [text for text in stack.status()["warnings"] if " AS orphan WHERE " in text]
    assert len(warnings) == 2
    for warning in warnings:
        source.execute(warning.partition("owner: ")[2].encode())
    assert {report["orphans"] for report in reconciled(stack.settings).values()} == {0}
    assert not [text for text in stack.status()["warnings"] if "orphan" in text]
    wait_until(lambda: orphans(*raw) == [0, 0], "they are gone from raw")


@pytest.mark.usefixtures("built")
def test_readers_see_whole_marts_while_they_are_rebuilt(
    settings: Settings, webhook: Webhook, source: psycopg.Connection
) -> None:
    wanted = one(source, "SELECT count(*) FROM ratings")
    seen: set[object] = set()
    done = threading.Event()

    def read() -> None:
        reader = clickhouse.connect(settings, settings.clickhouse_reader)
        while not done.is_set():
            seen.add(reader.command("SELECT (count(), uniqExact(built_at)) FROM analytics.ratings"))
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        webhook.succeeds("ratings")
    finally:
        done.set()
        thread.join()
    assert seen
    assert {str(pair).strip("()").split(",")[0] for pair in seen} == {str(wanted)}, seen
