"""Follow a rating from the API into the warehouse, for ``dataflix rate --trace``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import typer

from dataflix_cli.client import Api, Document
from dataflix_clients import clickhouse, kafka
from dataflix_clients.row_trace import Follower, Printer, RowTrace, following
from dataflix_clients.server_errors import SERVER_ERRORS
from dataflix_contract import SettingsError, load_settings, tables
from dataflix_contract.faults import first_line

_FAULTS = (*SERVER_ERRORS, SettingsError)
_RATINGS = tables()["ratings"]


class Tracing:
    """Sends a rating and follows it; if the pipeline cannot be watched, the rating is still sent.

    Args:
        live: whether to print each stage as it is reached.
    """

    def __init__(self, *, live: bool) -> None:
        self._printer = Printer() if live else None
        self._trace: RowTrace | None = None
        self._fault = ""

    def post(self, api: Api, body: Mapping[str, Any]) -> Document:
        """Send the rating, follow it, and return the API's answer.

        Raises:
            Fault: the API did not accept the rating.
        """
        with ExitStack() as stack:
            follower = self._listen(stack)
            document = api.post("/ratings", body)
            if follower:
                self._follow(follower, {"user_id": body["user_id"], "movie_id": body["movie_id"]})
        return document

    def plain(self) -> dict[str, Any]:
        """The stages that were seen, as a JSON document; ``fault`` is empty if the rating arrived."""
        trace = self._trace
        return {
            "milliseconds": trace.milliseconds if trace else {},
            "version": trace.version if trace else None,
            "fault": self._fault,
        }

    def _listen(self, stack: ExitStack) -> Follower | None:
        try:
            settings = load_settings()
            kafka.check(settings)  # fails fast and without log messages if Kafka does not answer
            warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
            return stack.enter_context(following(settings, warehouse, _RATINGS))
        except _FAULTS as fault:
            self._warn(f"the rating is not followed, the pipeline cannot be seen: {first_line(fault)}")
            return None

    def _follow(self, follower: Follower, key: Mapping[str, int]) -> None:
        title = "ratings " + " ".join(f"{name}={value}" for name, value in key.items())
        try:
            for trace in follower.follow(_RATINGS, key):
                self._trace = trace
                if self._printer:
                    self._printer(title, trace)
        except _FAULTS as fault:
            self._warn(f"the rating is saved, but following it failed: {first_line(fault)}; dataflix status")

    def _warn(self, fault: str) -> None:
        self._fault = fault
        if self._printer:
            typer.echo(f"dataflix: {fault}", err=True)
