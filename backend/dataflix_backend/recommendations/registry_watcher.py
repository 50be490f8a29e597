"""The leader's thread, which asks MLflow's registry for the champion and stores it on the disk."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import httpx
import structlog

from dataflix_backend.api_metrics import ModelMetrics
from dataflix_backend.recommendations.model_store import Champion, ModelStore, Note
from dataflix_backend.schemas import Refusal
from dataflix_clients import mlflow
from dataflix_contract import Settings
from dataflix_recommender import MODEL_FILE, MODEL_PATH, ModelError

log = structlog.get_logger(__name__)

#: How often the registry is asked, and how often each non-leader tries to become the leader.
POLL_SECONDS = 1.0
#: How long MLflow may take to answer, and to send the next part of a model.
_ANSWER_SECONDS, _PART_SECONDS = 2.0, 10.0
#: How many times in a row the registry may fail to answer before it is called silent.
_PATIENCE = 5
#: How soon a model that could not be fetched or used is tried again.
_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Failed:
    """A version that could not be stored on the disk, and when to try again (by the monotonic clock)."""

    version: mlflow.Version
    again: float


class RegistryWatcher:
    """Asks the registry for the champion every second, while this process is the leader."""

    def __init__(self, settings: Settings, store: ModelStore, metrics: ModelMetrics) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._unanswered = _PATIENCE - 1  # at the start one failure is enough, since nothing is known yet
        self._failed: _Failed | None = None

    def run(self, stopped: threading.Event) -> None:
        """Watch the registry until ``stopped`` is set; a fault does not end the watch."""
        with mlflow.connect(self._settings, _ANSWER_SECONDS) as client:
            while not stopped.is_set():
                try:
                    if self._store.try_to_lead():
                        self.look(client)
                except Exception as fault:  # noqa: BLE001 - the thread must not end; the next attempt may work
                    self._metrics.failed("watch")
                    log.error("watching the registry failed", kind=type(fault).__name__, why=str(fault))  # noqa: TRY400
                stopped.wait(POLL_SECONDS)

    def look(self, client: httpx.Client) -> None:
        """Ask once: store a new champion, write the note for the other processes, and remove old models."""
        before = self._store.note()
        try:
            named = mlflow.read_champion_over(client)
        except (httpx.HTTPError, LookupError) as fault:  # no answer, or not MLflow's
            self._unanswered += 1
            if self._unanswered >= _PATIENCE:
                self._publish(
                    before, before.model_copy(update={"registry": "silent"}), why=type(fault).__name__
                )
            return
        self._unanswered = 0
        if named is None:
            self._publish(before, before.model_copy(update={"registry": "empty", "refusal": None}))
            return
        self._publish(before, self._fetched(client, named, before))
        self._store.tidy(self._store.note().champion)

    def _fetched(self, client: httpx.Client, named: mlflow.Version, before: Note) -> Note:
        """Store the named version on the disk if it is not there, and return the note about the outcome."""
        try:
            champion = _champion(named)
            if not self._store.has(champion):
                if self._failed and self._failed.version == named and time.monotonic() < self._failed.again:
                    return before.model_copy(update={"registry": "answers"})
                self._fetch(client, named, champion)
        except (httpx.HTTPError, ModelError) as fault:
            self._failed = _Failed(named, time.monotonic() + _AGAIN_SECONDS)
            if isinstance(fault, ModelError):
                self._metrics.failed("model")
                refusal = Refusal(version=named.number, reason="unusable", why=str(fault))
            else:
                self._metrics.failed("fetch")
                why = f"it could not be fetched: {fault}"
                refusal = Refusal(version=named.number, reason="not_fetched", why=why)
            return before.model_copy(update={"registry": "answers", "refusal": refusal})
        self._failed = None
        return Note(champion=champion, registry="answers")

    def _fetch(self, client: httpx.Client, named: mlflow.Version, champion: Champion) -> None:
        with self._store.workspace() as workspace:
            file = workspace / MODEL_FILE
            mlflow.fetch(client, named, MODEL_PATH, file, _PART_SECONDS)
            self._store.put(champion, file)
        log.info("a champion is on the disk", version=named.number)

    def _publish(self, before: Note, now: Note, **more: str) -> None:
        if now == before:
            return
        self._store.write(now)
        if now.refusal and now.refusal != before.refusal:
            log.warning("the champion that the registry names is not served", why=now.refusal.text)
        if now.registry != before.registry:
            log.info("the model registry", state=now.registry, **more)


def _champion(version: mlflow.Version) -> Champion:
    """The champion that a registered version describes.

    Raises:
        ModelError: it is not ready, or was not registered by Dataflix's training.
    """
    digest = version.tags.get(mlflow.MODEL_DIGEST_TAG)
    if version.status != "READY" or not digest:
        raise ModelError(
            f"its status is {version.status}, and its tag {mlflow.MODEL_DIGEST_TAG} is {digest or 'missing'}"
        )
    return Champion(
        version=version.number,
        digest=digest,
        run_id=version.run_id,
        trained_at=version.created_at,
        metrics={name: value for name, text in version.tags.items() if (value := _figure(name, text))},
    )


def _figure(name: str, text: str) -> float | None:
    """A tag's value as a number, if the tag is one of the training's scores."""
    if name.startswith(("dataflix.", "mlflow.")):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
