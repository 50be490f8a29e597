"""Keep the model and the catalogue in each process's memory, renewed in the background, for its requests."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import current_app
from psycopg import OperationalError
from psycopg_pool import PoolClosed, PoolTimeout

from dataflix_backend.api_metrics import ModelMetrics
from dataflix_backend.database import Pool
from dataflix_backend.recommendations.catalogue import Catalogue, read_popularity
from dataflix_backend.recommendations.model_store import ModelStore, Note
from dataflix_backend.recommendations.registry_watcher import RegistryWatcher
from dataflix_backend.recommendations.served_model import Served, Serving, Source, combine
from dataflix_backend.schemas import Refusal
from dataflix_contract import Settings
from dataflix_recommender import ModelError

log = structlog.get_logger(__name__)

_KEY = "dataflix-recommendations"

#: How often a process looks for a new model on the disk and for new films.
TICK_SECONDS = 0.5
#: Without a model, the list of popular films is kept for at least so many seconds, and for at least so many
#: times as long as it took to make.
_POPULAR_SECONDS, _POPULAR_SHARE = 5.0, 20.0


@dataclass(frozen=True, slots=True)
class Status:
    """Whether recommendations can be served, and from which model; for ``/health`` and ``/health/ready``.

    Attributes:
        faults: why no request can be answered; empty: requests can be answered.
        warnings: what is wrong although requests can be answered.
        model: what replies say about the model; None: there is none.
        refusal: why the registry's champion is not served, which is also one of the warnings; None: it is
            served, or there is none.
    """

    faults: list[str]
    warnings: list[str]
    model: dict[str, Any] | None
    refusal: Refusal | None = None

    @property
    def not_served(self) -> str:
        """The refusal in words; empty: there is none."""
        return self.refusal.text if self.refusal else ""


class ModelCache:
    """Renews what one process serves; requests read it from `current`."""

    def __init__(self, settings: Settings, pool: Pool, folder: Path) -> None:
        self.metrics = ModelMetrics()
        self.current: Serving | None = None
        self._pool = pool
        self._store = ModelStore(folder)
        self._watcher = RegistryWatcher(settings, self._store, self.metrics)
        self._stopped = threading.Event()
        self._catalogue = Catalogue()
        self._note = Note()
        self._mapped: Served | None = None
        self._popular_until = 0.0
        self._fault = ""

    def start(self) -> None:
        """Put what is on the disk in service, and start the threads that look for new models and films."""
        self.tick()
        for work in (self._keep, lambda: self._watcher.run(self._stopped)):
            surroundings = contextvars.copy_context()  # the fields of every line of the log
            threading.Thread(target=surroundings.run, args=(work,), daemon=True).start()

    def stop(self) -> None:
        """End the threads, and let another process become the leader."""
        self._stopped.set()
        self._store.resign()

    def tick(self) -> None:
        """Look once for new films and a new model, and put them in service."""
        try:
            self._refresh()
        except PoolClosed:
            log.debug("the process ends")
        except (OperationalError, PoolTimeout) as fault:
            self._failed("catalogue", "the catalogue cannot be read", fault)
        except Exception as fault:  # noqa: BLE001 - the thread must not end; the next attempt may work
            self._failed("keep", "what is served cannot be renewed", fault)
        else:
            self._fault = ""

    def status(self) -> Status:
        """The status of this process's recommendations."""
        now, note = self.current, self._note
        faults = [] if now else ["the catalogue is not read yet"]
        served = now.served if now else None
        warnings = [note.refusal.text] if note.refusal else []
        if note.registry == "silent":
            warnings.append("MLflow does not answer: a newer champion would not be noticed")
        if note.registry == "empty" and self._mapped:
            warnings.append("MLflow names no champion: dataflix-model promote VERSION names one")
        if now and now.unfit:
            warnings.append(now.unfit.text)
        elif now and not served:
            warnings.append("there is no model yet: the most popular films are shown until one is trained")
        return Status(faults, warnings, about(now), note.refusal or (now.unfit if now else None))

    def _keep(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self.tick()

    def _refresh(self) -> None:
        before = self.current
        self._note = self._store.note()
        mapped = self._newest(self._mapped)
        source = _source(mapped, self._note)
        with self._pool.connection() as connection:
            films = self._catalogue.films(connection)
        renewed = before is None or films is not before.films or mapped is not self._mapped
        self._mapped = mapped
        if before is None or renewed:
            serving = combine(films, mapped, source) if mapped else Serving(films)
            # first with the old list of popular films, since making a new one may take long
            self.current = serving.with_popular(before.popular) if before and not serving.served else serving
        elif source != before.source and before.served:
            self.current = replace(before, source=source)
        now = self.current
        if now and not now.served and (renewed or time.monotonic() >= self._popular_until):
            self.current = now.with_popular(self._popular())

    def _newest(self, served: Served | None) -> Served | None:
        """The model that the leader noted last, if the disk has it undamaged; otherwise the present one."""
        champion = self._note.champion
        if champion is None or (served and served.champion == champion):
            return served
        try:
            model, lock = self._store.take(champion)
        except FileNotFoundError:
            return served  # its folder is being made again, or was already removed
        except ModelError as fault:
            self.metrics.failed("damaged")
            log.warning("a model on the disk was damaged", version=champion.version, why=str(fault))
            return served
        fresh = Served(champion, model)
        weakref.finalize(fresh, lock.close)  # once the last request that uses it has ended
        self.metrics.serving(champion.version, champion.trained_at)
        log.info("a model is in service", version=champion.version)
        return fresh

    def _popular(self) -> Sequence[tuple[int, float]]:
        now = self.current
        if now is None:
            return ()
        started = time.monotonic()
        with self._pool.connection() as connection:
            popular = read_popularity(connection, now.films)
        ended = time.monotonic()
        self._popular_until = ended + max(_POPULAR_SECONDS, _POPULAR_SHARE * (ended - started))
        return popular

    def _failed(self, kind: str, what: str, fault: Exception) -> None:
        self.metrics.failed(kind)
        why = type(fault).__name__
        if why != self._fault:  # logged once, however often it is tried
            log.warning(what, kind=why)
        self._fault = why


def start(app: APIFlask) -> ModelCache:
    """Make and start the application's cache, in the process that serves it."""
    shared = app.extensions["dataflix"]
    cache = ModelCache(shared.settings, shared.pool, shared.settings.service_folder("backend") / "models")
    app.extensions[_KEY] = cache
    cache.start()
    return cache


def model_cache() -> ModelCache | None:
    """The cache of the application that serves the current request; None: it was not started."""
    found: ModelCache | None = current_app.extensions.get(_KEY)
    return found


def status() -> Status:
    """The status of recommendations in this process."""
    found = model_cache()
    return found.status() if found else Status(["recommendations are not served here"], [], None)


def current_serving() -> Serving:
    """What this process serves now. A request calls this once, so that all of its reply fits together.

    Raises:
        HTTPError: 503, the catalogue has not been read yet.
    """
    cache = model_cache()
    if cache is None or cache.current is None:
        raise HTTPError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the catalogue is not read yet: try again in a moment",
            headers={"Retry-After": "1"},
        )
    return cache.current


def about(serving: Serving | None) -> dict[str, Any] | None:
    """The part of a reply that says which model it was made with; None: without a model."""
    if serving is None or serving.served is None:
        return None
    champion = serving.served.champion
    age = datetime.now(UTC) - champion.trained_at
    return {
        "version": champion.version,
        "trained_at": champion.trained_at.isoformat().replace("+00:00", "Z"),
        "age_seconds": max(0, int(age.total_seconds())),
        "source": serving.source,
        "run_id": champion.run_id,
    }


def _source(served: Served | None, note: Note) -> Source:
    named = served and note.registry == "answers" and not note.refusal and served.champion == note.champion
    return "registry" if named else "disk"
