"""Nothing lost, nothing wrong: servers are killed under a mixed load, and the warehouse equals the source."""

import time

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from dataflix_clients import postgres
from dataflix_contract import Settings
from support.equality import differences, differences_in_the_end
from support.load import CHANGES, MixedLoad
from support.stack import Stack
from support.waiting import wait_until

SERVERS = ("masker-0", "connect", "kafka", "clickhouse", "postgres")


def _work_is_done(load: MixedLoad, transactions: int) -> None:
    goal = sum(load.committed.values()) + transactions
    wait_until(lambda: sum(load.committed.values()) >= goal, f"{transactions} more transactions")


@pytest.mark.disruptive
@pytest.mark.timeout(2400)
def test_every_server_killed_under_load_in_turn_and_all_at_once(
    stack: Stack, settings: Settings, warehouse: Client
) -> None:
    with MixedLoad(settings) as load:
        with postgres.connect(settings, settings.postgres_owner) as patient:
            # Open across the deaths of everything but PostgreSQL: low LSNs, a late commit.
            patient.execute("BEGIN")
            patient.execute("INSERT INTO users (user_id, name) VALUES (40000000, 'Patient Zero')")
            opened = time.monotonic()
            for server in SERVERS[:-1]:
                _work_is_done(load, 50)
                stack.kill(server)
                stack.wait_ready(server)
            wait_until(lambda: time.monotonic() - opened >= 20, "the transaction is 20 s old")
            patient.execute("UPDATE users SET city = 'Late' WHERE user_id = 40000000")
            patient.execute("COMMIT")
        stack.kill("postgres")
        stack.wait_ready("postgres")
        _work_is_done(load, 50)
        for server in SERVERS:
            stack.kill(server)
        stack.wait_ready("everything")
        _work_is_done(load, 50)

    assert load.faults == []
    assert {change.__name__ for change in CHANGES} <= load.committed.keys()
    assert differences_in_the_end(settings, warehouse) == []


def test_the_comparison_sees_a_difference(
    source: psycopg.Connection, warehouse: Client, settings: Settings
) -> None:
    """The proof above is worth something only if its instrument can say no."""
    wait_until(lambda: not differences(source, warehouse, settings), "the warehouse equals the source")
    with postgres.connect(settings, settings.postgres_owner) as hidden, hidden.transaction() as transaction:
        hidden.execute(
            "UPDATE users SET name = 'Somebody Else' WHERE user_id = (SELECT min(user_id) FROM users)"
        )
        hidden.execute("INSERT INTO users (user_id, name) VALUES (50000000, 'Unseen')")
        found = differences(hidden, warehouse, settings)
        assert len(found) == 2
        assert any("differs" in line for line in found)
        assert any("(50000000,) is missing" in line for line in found)
        raise psycopg.Rollback(transaction)
