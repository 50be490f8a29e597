"""What the daily batch did last: its run, its reconciliation, the champion, and whether that is served.

Each part is asked of its own server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from dataflix_clients import airflow, mlflow
from dataflix_clients.answers import Unknown, ask
from dataflix_clients.clickhouse_http import read_rows
from dataflix_clients.http_client import http, parsed
from dataflix_clients.orphans import orphan_finding
from dataflix_contract import Settings, tables

#: How long an answer may take: whoever looks at a status does not want to wait.
_SECONDS = 3.0
_RECONCILED_QUERY = """
    SELECT any(found.run_id) AS run_id, sum(found.rows) AS rows, sum(found.missing) AS missing,
           sum(found.different) AS different, sum(found.ghosts) AS ghosts,
           formatDateTime(max(found.recorded_at), '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS recorded_at
    FROM ops.reconciliations AS found FINAL
    WHERE found.run_id = (SELECT argMax(run_id, recorded_at) FROM ops.reconciliations)
"""
_ORPHANS_QUERY = """
    SELECT table_name AS name, argMax(found.orphans, found.recorded_at) AS orphans
    FROM ops.reconciliations AS found FINAL
    GROUP BY name HAVING orphans > 0 ORDER BY name
"""
_OUTCOME_QUERY = """
    SELECT run_id, state, JSONExtractString(details, 'reason') AS reason
    FROM ops.pipeline_runs FINAL ORDER BY started_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of the daily batch, as Airflow sees it; empty texts: it never ran."""

    run_id: str
    state: str
    ended: str

    @property
    def fault(self) -> str:
        """What is wrong, or nothing."""
        return f"run {self.run_id} failed: see Airflow" if self.state == "failed" else ""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The newest reconciliation: what it found over all tables; no ``run_id``: there was none.

    Attributes:
        recorded_at: when, as RFC 3339 in UTC.
        orphans: by table, how many rows of the source lacked their user or film at its last reconciliation.
    """

    run_id: str
    rows: int
    missing: int
    different: int
    ghosts: int
    recorded_at: str
    orphans: Mapping[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What somebody should check in the source database."""
        return [
            orphan_finding(table, self.orphans[name]).text
            for name, table in tables().items()
            if name in self.orphans
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the newest run of the daily batch recorded; empty texts: there was none.

    Attributes:
        reason: why it failed, or why it made no new champion; empty: all went well.
    """

    run_id: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API does not serve the champion.

    Attributes:
        version: the champion that the API speaks of.
        reason: for programs, as the OpenAPI document lists them.
        why: the same in words.
    """

    version: int
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What the daily batch did last; each part asked of its own server.

    Attributes:
        champion: the champion model's version; 0: no model was registered yet.
        refusal: why the API does not serve it; None: it does, or there is none.
    """

    run: LastRun | Unknown
    reconciled: Reconciled | Unknown
    champion: int | Unknown
    outcome: Outcome | Unknown = Outcome()
    refusal: Refusal | Unknown | None = None

    @property
    def champion_description(self) -> str:
        """The champion for people; empty: it is not known."""
        if isinstance(self.champion, Unknown):
            return ""
        if not self.champion:
            return "none yet"
        if isinstance(self.refusal, Unknown):
            return f"version {self.champion}; whether it is served is not known: {self.refusal.fault}"
        # the API may not have seen the newest champion yet: then it speaks of the one before
        if self.refusal and self.refusal.version == self.champion:
            return f"version {self.champion}, not served: {self.refusal.why}"
        return f"version {self.champion}"

    @property
    def reason(self) -> str:
        """Why the newest run failed or made no new champion; empty: neither is so, or it is not known."""
        if isinstance(self.run, Unknown) or isinstance(self.outcome, Unknown):
            return ""
        return self.outcome.reason if self.outcome.run_id == self.run.run_id else ""

    @property
    def fault(self) -> str:
        """What is wrong with the newest run, or nothing."""
        if self.reason and isinstance(self.run, LastRun) and self.run.fault:
            return f"run {self.run.run_id} failed: {self.reason}; see bin/dataflix-pipeline status"
        return self.run.fault


def read_batch(settings: Settings) -> Batch:
    """Look at what the daily batch did last."""
    return Batch(
        ask(read_run, settings),
        ask(read_reconciled, settings),
        ask(read_champion, settings),
        ask(read_outcome, settings),
        ask(read_refusal, settings),
    )


def read_run(settings: Settings) -> LastRun:
    """Ask Airflow for the newest run.

    Raises:
        AirflowError: Airflow refuses.
        httpx.HTTPError: Airflow is away.
        LookupError: another server answers.
    """
    return last_run_of(airflow.last_run(settings, _SECONDS))


def last_run_of(found: airflow.Run | None) -> LastRun:
    """A run as the status shows it."""
    if found is None:
        return LastRun("", "", "")
    ended = found.finished_at.isoformat().replace("+00:00", "Z") if found.finished_at else ""
    return LastRun(found.run_id, found.state, ended)


def read_champion(settings: Settings) -> int:
    """Ask MLflow for the champion's version; 0 when there is none.

    Raises:
        httpx.HTTPError: MLflow is away.
        LookupError: another server answers.
    """
    champion = mlflow.read_champion(settings, seconds=_SECONDS)
    return champion.number if champion else 0


def read_refusal(settings: Settings) -> Refusal | None:
    """Ask the API why it does not serve the champion; None: it does, or there is none.

    Raises:
        httpx.HTTPError: the API is away.
        LookupError: another server answers.
    """
    answer = http.get(f"{settings.backend_url}/health/ready")
    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # its body has the same form
        answer.raise_for_status()
    found = parsed(answer)["refusal"]
    return None if found is None else Refusal(found["version"], found["reason"], found["why"])


def read_reconciled(settings: Settings) -> Reconciled:
    """Ask ClickHouse for the newest reconciliation's sums.

    Raises:
        httpx.HTTPError: ClickHouse is away, or refuses.
        LookupError: another server answers.
    """
    orphans = {row["name"]: row["orphans"] for row in read_rows(settings, _ORPHANS_QUERY)}
    return Reconciled(**read_rows(settings, _RECONCILED_QUERY)[0], orphans=orphans)


def read_outcome(settings: Settings) -> Outcome:
    """Ask ClickHouse what the newest run of the daily batch recorded.

    Raises:
        httpx.HTTPError: ClickHouse is away, or refuses.
        LookupError: another server answers.
    """
    return next((Outcome(**row) for row in read_rows(settings, _OUTCOME_QUERY)), Outcome())
