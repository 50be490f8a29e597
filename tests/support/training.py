"""Trainings against a running stack: the marts that they read, the champion that they give."""

import json
from typing import Any

import httpx
from clickhouse_connect.driver.client import Client

from dataflix_contract import Settings
from support.stack import Stack
from support.waiting import wait_until


def build_marts(settings: Settings, warehouse: Client) -> None:
    """Have the webhook build the marts that training reads, if they are not there yet."""
    there = "SELECT count() FROM system.tables WHERE database = 'analytics' AND name IN ('ratings', 'movies')"
    if warehouse.command(there) == 2 and warehouse.command("SELECT count() FROM analytics.ratings"):
        return
    login = {"Authorization": f"Bearer {settings.dbt_token.get_secret_value()}"}
    with httpx.Client(base_url=settings.dbt_url, headers=login, timeout=30, trust_env=False) as webhook:
        run = webhook.post("/runs", json={}).raise_for_status().json()

        def finished() -> dict[str, Any] | None:
            state: dict[str, Any] = webhook.get(f"/runs/{run['id']}").raise_for_status().json()
            return None if state["status"] in {"queued", "running"} else state

        state = wait_until(finished, "dbt has run", seconds=240)
        assert state
        assert state["status"] == "succeeded"


def train(stack: Stack, run_id: str) -> dict[str, Any]:
    """Run ``dataflix-train`` to its end and return what it reported."""
    done = stack.run("bin/dataflix-train", "--run-id", run_id, "--json")
    assert done.stdout.count("\n") == 1, done.stdout
    result: dict[str, Any] = json.loads(done.stdout)
    return result
