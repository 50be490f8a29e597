"""What replicas are told, told to one server: it refuses for want of the others, and for nothing else.

docs/decisions/replicas.md says how two replicas were tried.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from dataflix_clickhouse import statements
from dataflix_clients.clickhouse import sync_replica_statements
from dataflix_contract import Settings, tables
from dataflix_dbt.project import PROJECT, dbt_environment
from dataflix_stack import paths
from support.logins import login

CLUSTER = "pair"
KEPT = {
    "ingest_errors": statements.ingest_errors(CLUSTER),
    **statements.ops_tables(CLUSTER),
    **{name: statements.rows(table, CLUSTER) for name, table in tables().items()},
}
RAW = "raw.ratings"
REPORTS = "ops.reconciliations"


def refusal(settings: Settings, role: str, statement: str) -> str:
    """What the server says against a statement of a user; ``role`` is its settings' name."""
    password = getattr(settings, f"clickhouse_{role}password").get_secret_value()
    client = login(settings, getattr(settings, f"clickhouse_{role}user"), password)
    try:
        with pytest.raises(ClickHouseError) as refused:
            client.command(statement)
    finally:
        client.close()
    return str(refused.value)


@pytest.mark.parametrize("name", KEPT)
def test_a_replicated_table_wants_a_keeper_and_nothing_else(settings: Settings, name: str) -> None:
    elsewhere = re.sub(rf"EXISTS \w+\.{name}\b", "EXISTS analytics.probe", KEPT[name])
    # where a replicated database would say the path
    explicit = elsewhere.replace("MergeTree(", f"MergeTree('/clickhouse/tables/{name}', 'one', ")
    assert "NO_ZOOKEEPER" in refusal(settings, "admin_", explicit)


def test_a_replicated_database_wants_a_cluster_and_nothing_else(settings: Settings) -> None:
    create = statements.database("analytics_probe", CLUSTER)
    assert "CLUSTER_DOESNT_EXIST" in refusal(settings, "admin_", create)


@pytest.mark.parametrize(
    ("role", "table"),
    [("admin_", RAW), ("batch_", RAW), ("batch_", REPORTS), ("dbt_", RAW), ("dbt_", REPORTS)],
)
def test_who_reads_what_another_wrote_may_wait_for_it(settings: Settings, role: str, table: str) -> None:
    [statement] = sync_replica_statements(CLUSTER, table)
    assert "is not replicated" in refusal(settings, role, statement)


def test_readers_wait_for_nobody(settings: Settings) -> None:
    [statement] = sync_replica_statements(CLUSTER, RAW)
    assert "ACCESS_DENIED" in refusal(settings, "", statement)


def test_one_server_is_not_asked_to_wait() -> None:
    assert sync_replica_statements("", RAW, REPORTS) == []


def test_marts_are_replicated_where_raw_is(settings: Settings, tmp_path: Path) -> None:
    told = subprocess.run(
        [
            paths.home() / "envs/services/bin/dbt",
            "--quiet",
            "ls",
            "--resource-type=model",
            "--output=json",
            "--output-keys=config",
        ],
        cwd=PROJECT,
        env=os.environ
        | dbt_environment(settings.model_copy(update={"clickhouse_cluster": CLUSTER}))
        | {"DBT_PROFILES_DIR": str(PROJECT), "DBT_TARGET_PATH": str(tmp_path), "DBT_LOG_PATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    configs = [json.loads(line)["config"] for line in told.splitlines()]
    marts = [config["engine"] for config in configs if config["materialized"] == "mart"]
    assert marts
    assert set(marts) == {"ReplicatedMergeTree()"}
