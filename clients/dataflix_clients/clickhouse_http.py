"""Query ClickHouse over HTTP without its library, for the live page and the status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dataflix_clients.http_client import http, parsed
from dataflix_contract import Settings
from dataflix_contract.settings import Login

_FORMAT = " FORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 0"


def read_rows(
    settings: Settings, query: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What ClickHouse answers to the user who only reads, a mapping for each row.

    Raises:
        httpx.HTTPError: ClickHouse is away, or refuses.
        LookupError: another server answers.
    """
    answer = http.post(
        f"http://{settings.clickhouse_address}",
        content=query + _FORMAT,
        params={f"param_{name}": json.dumps(value) for name, value in (parameters or {}).items()},
        headers=login_headers(settings.clickhouse_reader),
    )
    rows: list[dict[str, Any]] = parsed(answer.raise_for_status())["data"]
    return rows


def login_headers(login: Login) -> dict[str, str]:
    """The headers with which a request logs in."""
    return {"X-ClickHouse-User": login.user, "X-ClickHouse-Key": login.password.get_secret_value()}
