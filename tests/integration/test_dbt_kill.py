"""The dbt webhook and ClickHouse, killed in the middle of a run: the next one makes everything whole."""

import os
import secrets
import signal

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from support.stack import Stack
from support.waiting import wait_until
from support.webhook import Webhook

pytestmark = pytest.mark.disruptive

MIDDLE = "START sql mart model"


@pytest.fixture
def webhook(stack: Stack) -> Webhook:
    return Webhook(stack.settings)


def left_over(warehouse: Client) -> object:
    """Tables that a killed build left aside."""
    return warehouse.command(
        "SELECT count() FROM system.tables WHERE database = 'analytics' AND name LIKE '%dbt%'"
    )


def test_a_killed_server_interrupts_its_run_and_keeps_the_ones_that_wait(
    stack: Stack, webhook: Webhook, warehouse: Client
) -> None:
    key = secrets.token_hex(8)
    server = stack.pid("dbt-webhook")
    running = webhook.ask(key=key)
    waiting = webhook.ask("stg_users")
    webhook.reaches(running["id"], MIDDLE)
    os.kill(server, signal.SIGKILL)
    interrupted = webhook.finished(running["id"])
    assert interrupted["status"] == "interrupted"
    assert "ask again" in interrupted["error"]
    assert webhook.finished(waiting["id"])["status"] == "succeeded"
    again = webhook.succeeds(key=key)
    assert again["id"] != running["id"]
    assert left_over(warehouse) == 0


def test_a_killed_warehouse_fails_the_run_and_says_so(
    stack: Stack, webhook: Webhook, warehouse: Client
) -> None:
    server = stack.pid("clickhouse")
    run = webhook.ask()
    webhook.reaches(run["id"], MIDDLE)
    os.kill(server, signal.SIGKILL)
    failed = webhook.finished(run["id"])
    assert failed["status"] == "failed"
    assert "failed: " in failed["error"] or "could not be finished: " in failed["error"], failed["error"]

    def answers() -> bool:
        try:
            return warehouse.command("SELECT 1") == 1
        except ClickHouseError:
            return False

    wait_until(answers, "ClickHouse answers again")
    webhook.succeeds()
    assert left_over(warehouse) == 0
