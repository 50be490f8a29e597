"""The API as its clients use it, and backends of a test's own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil

from dataflix_contract import Settings
from dataflix_contract.settings import ENV_PREFIX
from dataflix_stack.paths import console_script
from support.stack import free_ports
from support.waiting import wait_until

Answer = dict[str, Any]


class Api:
    """A client that knows what answers must look like."""

    def __init__(self, url: str, token: str = "") -> None:
        login = {"Authorization": f"Bearer {token}"} if token else {}
        # a connection each: to either process
        single = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(
            base_url=url, headers=login, timeout=30, trust_env=False, verify=False, limits=single
        )

    def get(self, path: str, **query: Any) -> Answer:
        """The body of a GET that must succeed."""
        return self.ok(self.http.get(path, params=query))

    def post(self, path: str, status: int = 201, key: str = "", **body: Any) -> Answer:
        """The body of a POST that must end with this status."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.ok(self.http.post(path, json=body, headers=headers), status)

    def delete(self, path: str) -> None:
        """A DELETE that must succeed."""
        assert self.http.delete(path).status_code == 204

    def pages(self, path: str, **query: Any) -> list[Answer]:
        """All items of a list, page by page."""
        items: list[Answer] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **cursor)
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}

    def new_user(self, **more: Any) -> int:
        """The id of a user that nobody else uses."""
        body = {"name": "Petra Prüf", "email": f"{uuid4().hex}@example.org"}
        user_id: int = self.post("/users", **(body | more))["user_id"]
        return user_id

    @staticmethod
    def ok(answer: httpx.Response, status: int = 200) -> Answer:
        """The body of an answer that must have this status."""
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert answer.headers["Content-Type"] == "application/json"
        body: Answer = answer.json()
        return body


def problem(answer: httpx.Response, status: int) -> Answer:
    """The document of an answer that must be a problem, and says what to do."""
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: Answer = answer.json()
    assert (found["status"], found["type"]) == (status, "about:blank")
    assert len(found["detail"]) > 10
    assert found["title"]
    return found


@dataclass(frozen=True)
class Backend:
    """A backend of a test's own.

    Attributes:
        log: the file of its lines.
    """

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Its processes that serve."""
        return psutil.Process(self.process.pid).children()


@contextmanager
def running_backend(
    settings: Settings, folder: Path, env_file: Path | None = None, **overrides: str
) -> Iterator[Backend]:
    """A backend beside the stack's own: on a port of its own, on the same database.

    Args:
        settings: the stack's.
        folder: what it writes goes here.
        env_file: the stack's settings file, where the environment does not name it.
        overrides: further settings by field name.
    """
    with free_ports() as ports:
        values = {"backend_port": ports["backend_port"], "data_dir": str(folder), **overrides}
        own = settings.model_copy(update={"backend_port": int(values["backend_port"])})
        variables = {f"{ENV_PREFIX}{name.upper()}": value for name, value in values.items()}
        if env_file is not None:
            variables["DATAFLIX_ENV_FILE"] = str(env_file)
        log = folder / "backend.log"
        with log.open("wb") as lines:
            process = subprocess.Popen(
                [str(console_script("dataflix-backend"))], env=os.environ | variables, stderr=lines
            )
        try:
            wait_until(lambda: _answers(own), "the backend answers")
            yield Backend(process, own, log)
        finally:
            process.terminate()
            assert process.wait(30) == 0


def _answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.backend_url}/health/live", trust_env=False).is_success
    except httpx.TransportError:
        return False
