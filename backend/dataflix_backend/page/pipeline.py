"""The live view of the pipeline (``GET /pipeline``): figures from every server that is part of it.

All servers are asked at the same time, and their answers are kept for some seconds: see :class:`CachedProbe`.
If a server does not answer, only its own figures are missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import Field

from dataflix_backend.page.latency import Rate, StageTimes, stages
from dataflix_backend.recommendations.views import ModelShown
from dataflix_backend.request_handling import Context
from dataflix_backend.schemas import Moment, Refusal, Reply
from dataflix_clients import batch
from dataflix_clients.answers import Unknown, ask
from dataflix_clients.capture import judge_answers
from dataflix_clients.kafka import read_backlog, read_capture_topics
from dataflix_clients.preflight import faults as judged_faults
from dataflix_clients.replication_slot import SlotFacts
from dataflix_clients.source_facts import SourceFacts, read_facts
from dataflix_contract import Settings
from dataflix_contract.web_server import address

#: How long a view is shown before a new one is made, and how long making it waits for answers.
_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0
#: Publication, tables and slot: some 20 small queries.
_CAPTURE_SECONDS = 5.0
#: Airflow, MLflow and the reports in ClickHouse change once a day.
_SLOW_SECONDS = 10.0
_LATE = Unknown("no answer in time")
#: While a server does not answer in time, its last answer is shown this much longer.
_STALE_SECONDS = 10.0

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class SlotView(Reply):
    """The replication slot."""

    active: bool
    wal_status: str
    held_bytes: int = Field(description="WAL that PostgreSQL keeps for Debezium.")


class LastRun(Reply):
    """The newest run of the daily batch."""

    run_id: str
    state: str = Field(examples=["success"])
    ended: Moment | None
    reason: str = Field(description="Why it failed, or made no new champion; empty: all went well.")


class LastReconcile(Reply):
    """What the newest reconciliation found, over all tables."""

    run_id: str
    at: Moment
    rows: int
    missing: int
    different: int
    ghosts: int


class ChampionView(Reply):
    """The champion in MLflow: the model that the API should serve."""

    version: int
    not_served: str = Field(description="`refusal` in words; empty: the API serves it.")
    refusal: Refusal | None = Field(description="Why the API does not serve it; null: it does.")


class Links(Reply):
    """Addresses of the other servers' pages."""

    airflow: str
    mlflow: str
    kafka_ui: str
    dbt_docs: str
    api_docs: str


class PipelineView(Reply):
    """The pipeline right now. A part is null when it is not there, or when its server is away: see faults."""

    stages: StageTimes | None
    events_per_second: float | None = Field(description="Changes that pass the masker.")
    lag: dict[str, int] | None = Field(description="Records not yet processed, by consumer group.")
    dead_letters: int | None = Field(description="Messages that were refused, and are still described.")
    slot: SlotView | None
    last_reconcile: LastReconcile | None
    last_run: LastRun | None
    champion: ChampionView | None
    model: ModelShown | None = Field(description="The model that serves, as GET /model shows it.")
    links: Links
    faults: list[str] = Field(
        description="Which servers do not answer, why changes are not captured, and what to do about it."
    )


class CachedProbe(Generic[T_co]):
    """Asks one server and keeps its last answer. Only one thread at a time may use it.

    Args:
        server: the server's name in the message when there is no answer.
        question: asks the server.
        seconds: how long an answer is kept before the server is asked again.
    """

    def __init__(self, server: str, question: Callable[[Settings], T_co], seconds: float) -> None:
        self.server = server
        self._question = question
        self._seconds = seconds
        self._asked: Future[T_co | Unknown] | None = None
        self._answer: T_co | Unknown = _LATE
        self._until = 0.0

    def begin(self, threads: ThreadPoolExecutor, settings: Settings) -> Future[T_co | Unknown] | None:
        """Ask, unless the last answer is fresh or still awaited; None: nothing was asked."""
        if self._asked is not None or time.monotonic() < self._until:
            return None
        self._asked = threads.submit(self._ask, settings)
        return self._asked

    def end(self) -> T_co | Unknown:
        """The last answer, or Unknown if the server has not answered for too long."""
        if self._asked is None:
            return self._answer
        if not self._asked.done():
            return self._answer if time.monotonic() < self._until + _STALE_SECONDS else _LATE
        asked, self._asked = self._asked, None
        self._until = time.monotonic() + self._seconds
        self._answer = asked.result()
        return self._answer

    def _ask(self, settings: Settings) -> T_co | Unknown:
        try:
            return ask(self._question, settings)
        except ValueError:  # the answer is no JSON, or not of the expected form
            return Unknown("its answer cannot be read")


class Pipeline:
    """The live view of one process; its threads share it."""

    def __init__(self, shared: Context) -> None:
        self._settings = shared.settings

        def source(settings: Settings) -> SourceFacts:
            with shared.pool.connection() as connection:
                return read_facts(connection, settings)

        self._stages = CachedProbe("Kafka or ClickHouse", stages, _FRESH_SECONDS)
        self._rate = CachedProbe("the masker", Rate(), _FRESH_SECONDS)
        self._backlog = CachedProbe("Kafka", read_backlog, _FRESH_SECONDS)
        self._source = CachedProbe("PostgreSQL", source, _CAPTURE_SECONDS)
        self._topics = CachedProbe("Kafka", read_capture_topics, _CAPTURE_SECONDS)
        self._reports = CachedProbe("ClickHouse", _reports, _SLOW_SECONDS)
        self._run = CachedProbe("Airflow", batch.read_run, _SLOW_SECONDS)
        self._champion = CachedProbe("MLflow", batch.read_champion, _SLOW_SECONDS)
        self._threads = ThreadPoolExecutor(thread_name_prefix="pipeline")
        self._looking = threading.Lock()
        self._until = 0.0
        self._view: PipelineView | None = None

    def look(self, host: str, model: ModelShown | None, refusal: Refusal | None) -> PipelineView:
        """The view, at most a second old, or a little older while another thread makes a new one.

        Args:
            host: the host name for the links: the one by which the client reached this server.
            model: the model that this process serves.
            refusal: why that is not the champion; None: it is.
        """
        if self._looking.acquire(blocking=self._view is None):
            try:
                if time.monotonic() >= self._until:
                    self._view = self._look()
                    self._until = time.monotonic() + _FRESH_SECONDS
            finally:
                self._looking.release()
        assert self._view is not None  # noqa: S101 - the first callers wait for the first view
        champion = self._view.champion
        # the API may not have seen the newest champion yet: then it speaks of the one before
        if champion and refusal and refusal.version == champion.version:
            champion = champion.model_copy(update={"not_served": refusal.text, "refusal": refusal})
        more = {"links": links(self._settings, host), "model": model, "champion": champion}
        return self._view.model_copy(update=more)

    def _look(self) -> PipelineView:
        parts = (
            self._stages,
            self._rate,
            self._backlog,
            self._source,
            self._topics,
            self._reports,
            self._run,
            self._champion,
        )
        begun: list[Future[Any] | None] = [part.begin(self._threads, self._settings) for part in parts]
        wait([one for one in begun if one is not None], timeout=_PATIENCE_SECONDS)
        faults: list[str] = []

        def of(part: CachedProbe[T], read: Callable[[T], R]) -> R | None:
            answer = part.end()
            if isinstance(answer, Unknown):
                faults.append(f"{part.server} does not answer: {answer.fault}")
                return None
            return read(answer)

        backlog = of(self._backlog, lambda found: found)
        reconciled, outcome = of(self._reports, lambda found: found) or (None, batch.Outcome())
        # Kafka Connect is not asked, so that the API needs no access to it
        capture = judge_answers(self._source.end(), None, self._topics.end(), self._settings)
        return PipelineView(
            stages=of(self._stages, lambda found: found),
            events_per_second=of(self._rate, lambda rate: round(rate, 1)),
            lag=backlog and backlog.lag,
            dead_letters=None if backlog is None else backlog.dead_letters,
            slot=of(self._source, lambda found: found.slot and _slot(found.slot)),
            last_reconcile=reconciled and _reconciled(reconciled),
            last_run=of(self._run, lambda run: _run(run, outcome)),
            champion=of(self._champion, _champion),
            model=None,
            links=links(self._settings, self._settings.backend_host),
            faults=[*faults, *(finding.text for finding in judged_faults(capture.findings))],
        )


def links(settings: Settings, host: str) -> Links:
    """Addresses of the other servers' pages, on the host by which the client reached this server.

    The host names in the settings are those that servers use among themselves; a browser may not know them.
    """
    return Links(
        airflow=f"http://{address(host, settings.airflow_port)}",
        mlflow=f"http://{address(host, settings.mlflow_port)}",
        kafka_ui=f"http://{address(host, settings.kafka_ui_port)}",
        dbt_docs=f"http://{address(host, settings.dbt_port)}/docs/",
        api_docs="/docs",
    )


def _champion(version: int) -> ChampionView | None:
    return ChampionView(version=version, not_served="", refusal=None) if version else None


def _slot(found: SlotFacts) -> SlotView:
    return SlotView(
        active=found.active_pid is not None,
        wal_status=found.wal_status or "none",
        held_bytes=found.retained_bytes,
    )


def _reports(settings: Settings) -> tuple[batch.Reconciled, batch.Outcome]:
    return batch.read_reconciled(settings), batch.read_outcome(settings)


def _run(found: batch.LastRun, outcome: batch.Outcome) -> LastRun | None:
    if not found.run_id:
        return None
    ended = datetime.fromisoformat(found.ended) if found.ended else None
    reason = outcome.reason if outcome.run_id == found.run_id else ""
    return LastRun(run_id=found.run_id, state=found.state, ended=ended, reason=reason)


def _reconciled(found: batch.Reconciled) -> LastReconcile | None:
    if not found.run_id:
        return None
    return LastReconcile(
        run_id=found.run_id,
        at=datetime.fromisoformat(found.recorded_at),
        rows=found.rows,
        missing=found.missing,
        different=found.different,
        ghosts=found.ghosts,
    )
