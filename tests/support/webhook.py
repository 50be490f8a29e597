"""The dbt webhook as its callers use it."""

from typing import Any

import httpx

from dataflix_contract import Settings
from support.waiting import wait_until

_SECONDS = 240
_UNFINISHED = ("queued", "running")

Answer = dict[str, Any]


class Webhook:
    """A client with the token."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.dbt_url}/runs"
        self._login = {"Authorization": f"Bearer {settings.dbt_token.get_secret_value()}"}

    def ask(self, select: str | None = None, key: str | None = None) -> Answer:
        """Ask for a run, from a server that may be starting; returns the run."""

        def asked() -> httpx.Response | None:
            headers = self._login | ({"Idempotency-Key": key} if key else {})
            try:
                return httpx.post(self._url, json={"select": select}, headers=headers, timeout=10)
            except httpx.TransportError:
                return None

        answer = wait_until(asked, "the webhook takes a request")
        assert answer is not None
        assert answer.status_code == 202, answer.text
        run: Answer = answer.json()
        assert answer.headers["Location"] == f"/runs/{run['id']}"
        return run

    def get(self, run_id: str) -> Answer:
        """The run now."""
        run: Answer = self._read(run_id).json()
        return run

    def logs(self, run_id: str) -> str:
        """What dbt has printed."""
        return self._read(f"{run_id}/logs").text

    def finished(self, run_id: str) -> Answer:
        """The run when it has ended, through restarts of the server."""

        def ended() -> Answer | None:
            try:
                run = self.get(run_id)
            except httpx.TransportError:
                return None
            return None if run["status"] in _UNFINISHED else run

        run = wait_until(ended, f"run {run_id} ends", _SECONDS)
        assert run
        return run

    def succeeds(self, select: str | None = None, key: str | None = None) -> Answer:
        """Have a run done and assert that all went well."""
        run = self.finished(self.ask(select, key)["id"])
        assert run["status"] == "succeeded", (run["error"], self.logs(run["id"]))
        return run

    def reaches(self, run_id: str, text: str) -> None:
        """Wait until dbt has printed a text."""
        wait_until(lambda: text in self.logs(run_id), f"run {run_id} prints {text!r}", _SECONDS, every=0.05)

    def _read(self, path: str) -> httpx.Response:
        return httpx.get(f"{self._url}/{path}", headers=self._login, timeout=10).raise_for_status()
