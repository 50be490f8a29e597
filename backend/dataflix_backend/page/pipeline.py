"""The pipeline at a glance, asked of every server that is part of it. One server's fault stays its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any, TypeVar

from dataflix_backend.context import Context
from dataflix_backend.page.cached_probe import CachedProbe
from dataflix_backend.page.rates import Rate
from dataflix_backend.page.schemas import (
    ChampionView,
    LastReconcile,
    LastRun,
    Links,
    PipelineView,
    SlotView,
    StageTimes,
)
from dataflix_backend.page.stages import Stages, stages
from dataflix_backend.recommendations.schemas import ModelShown
from dataflix_clients import batch
from dataflix_clients.answers import Unknown
from dataflix_clients.capture import judge_answers
from dataflix_clients.findings import faults as judged_faults
from dataflix_clients.replication_slot import SlotFacts
from dataflix_clients.source_facts import SourceFacts, read_facts
from dataflix_clients.topic_states import read_backlog, read_capture_topics
from dataflix_contract import Settings
from dataflix_contract.web_server import address

T = TypeVar("T")
R = TypeVar("R")

#: How long a look is good, and how long one may take.
_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0
#: Publication, tables and slot: some 20 small queries.
_CAPTURE_SECONDS = 5.0
#: Airflow, MLflow and the reports in ClickHouse change once a day.
_SLOW_SECONDS = 10.0


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

    def look(self, host: str, model: ModelShown | None, not_served: str) -> PipelineView:
        """The view, a second old at most, or a little more while somebody else is looking.

        Args:
            host: the name that links get: the one by which the client reached us.
            model: what this process serves.
            not_served: why that is not the champion.
        """
        if self._looking.acquire(blocking=self._view is None):
            try:
                if time.monotonic() >= self._until:
                    self._view = self._look()
                    self._until = time.monotonic() + _FRESH_SECONDS
            finally:
                self._looking.release()
        assert self._view is not None  # noqa: S101 - the first one waits until there is one
        champion = self._view.champion
        if champion is not None:
            champion = champion.model_copy(update={"not_served": not_served})
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
        # Kafka Connect is not asked: nothing else of the API needs to reach it.
        capture = judge_answers(self._source.end(), None, self._topics.end(), self._settings)
        return PipelineView(
            stages=of(self._stages, _stages),
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
    """The other servers' pages, on the host by which the client reached this one.

    The settings' own host names are the servers' among themselves, and need not be known outside.
    """
    return Links(
        airflow=f"http://{address(host, settings.airflow_port)}",
        mlflow=f"http://{address(host, settings.mlflow_port)}",
        kafka_ui=f"http://{address(host, settings.kafka_ui_port)}",
        dbt_docs=f"http://{address(host, settings.dbt_port)}/docs/",
        api_docs="/docs",
    )


def _stages(found: Stages | None) -> StageTimes | None:
    return None if found is None else StageTimes.model_validate(found, from_attributes=True)


def _champion(version: int) -> ChampionView | None:
    return ChampionView(version=version, not_served="") if version else None


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
