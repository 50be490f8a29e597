"""The dbt project, the folders that dbt writes to, and its login to ClickHouse."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from dataflix_contract import Settings, tables
from dataflix_contract.masking import PSEUDONYM_PATTERNS

#: The dbt project, beside this package.
PROJECT = Path(__file__).resolve().parents[1] / "project"
_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Folders:
    """The paths of a server's files, below ``root``."""

    root: Path

    @property
    def database(self) -> Path:
        """The runs: a SQLite database."""
        return self.root / "runs.sqlite"

    @property
    def logs(self) -> Path:
        """The folder of dbt's output, with a file for each run."""
        return self.root / "logs"

    @property
    def target(self) -> Path:
        """The files that dbt keeps from run to run (parsed project, artefacts)."""
        return self.root / "target"

    @property
    def docs_target(self) -> Path:
        """Where dbt makes the documentation before it is shown."""
        return self.root / "docs-target"

    @property
    def docs_page(self) -> Path:
        """The documentation that is shown: one page with everything in it."""
        return self.root / "docs" / "index.html"

    @property
    def server_lock(self) -> Path:
        """Locked while a server works on these files."""
        return self.root / "server.lock"

    @property
    def job_lock(self) -> Path:
        """Locked by dbt's own process while it runs, since it may outlive a killed server for a moment."""
        return self.root / "job.lock"

    def log(self, run_id: str) -> Path:
        """The file with dbt's output in one run."""
        return self.logs / f"{run_id}.log"

    def make(self) -> None:
        """Make the folders that are missing."""
        for folder in (self.logs, self.target, self.docs_target, self.docs_page.parent):
            folder.mkdir(parents=True, exist_ok=True)


class UnreachableError(Exception):
    """ClickHouse does not answer, or refuses dbt's user; the message says where and why."""


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The variables that the project reads: ClickHouse's address and login, and the columns of pseudonyms."""
    return {
        "DATAFLIX_DBT_CLICKHOUSE_HOST": settings.clickhouse_host,
        "DATAFLIX_DBT_CLICKHOUSE_PORT": str(settings.clickhouse_http_port),
        "DATAFLIX_DBT_CLICKHOUSE_CLUSTER": settings.clickhouse_cluster,
        "DATAFLIX_DBT_CLICKHOUSE_USER": settings.clickhouse_dbt_user,
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": settings.clickhouse_dbt_password.get_secret_value(),
        "DATAFLIX_DBT_PSEUDONYMS": json.dumps(pseudonyms()),
    }


def pseudonyms() -> dict[str, dict[str, str]]:
    """The form of the pseudonyms in each masked column: a regular expression by table and column."""
    return {
        table.name: {
            column.name: PSEUDONYM_PATTERNS[column.pii]
            for column in table.forwarded_columns
            if column.pii in PSEUDONYM_PATTERNS
        }
        for table in tables().values()
    }


def check_clickhouse(settings: Settings) -> None:
    """Check that ClickHouse answers dbt's user.

    Raises:
        UnreachableError: the server does not answer, or refuses the login.
    """
    address = f"{settings.clickhouse_host}:{settings.clickhouse_http_port}"
    login = {
        "X-ClickHouse-User": settings.clickhouse_dbt_user,
        "X-ClickHouse-Key": settings.clickhouse_dbt_password.get_secret_value(),
    }
    connection = http.client.HTTPConnection(
        settings.clickhouse_host, settings.clickhouse_http_port, timeout=_SECONDS
    )
    try:
        connection.request("POST", "/", "SELECT 1", login)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as fault:
        raise UnreachableError(f"ClickHouse at {address} does not answer: {fault}") from fault
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        raise UnreachableError(
            f"ClickHouse at {address} answers {status} to the user {settings.clickhouse_dbt_user}"
        )
