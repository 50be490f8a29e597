"""The program ``dataflix-backend``: runs the API in gunicorn's processes, each with several threads."""

from __future__ import annotations

import json
import logging
import sys
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask
from flask import Flask
from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from dataflix_backend import api_metrics, openapi, problems, request_handling
from dataflix_backend.database import MOST_CONNECTIONS, Pool, make_pool
from dataflix_backend.feedback import feedback
from dataflix_backend.health import health, metrics_page
from dataflix_backend.movies import movies
from dataflix_backend.openapi import docs
from dataflix_backend.page.site import pipeline, site
from dataflix_backend.recommendations import model_cache
from dataflix_backend.recommendations.views import recommendations
from dataflix_backend.request_handling import Context
from dataflix_backend.users import users
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_contract.web_server import PROBLEM, GunicornLog, address, problem_document

_GRACE_SECONDS = 10
#: Longer than clients keep idle connections. Then the client closes them, and never sends on a closed one.
_KEEPALIVE_SECONDS = 75
_STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}

_MOST_BODY_BYTES = 65_536
#: The parts of the application, each with its own paths.
_BLUEPRINTS = (users, movies, feedback, recommendations, pipeline, site, health, metrics_page, docs)


def create_app(shared: Context) -> APIFlask:
    """Make the application of one process; the pool in ``shared`` must be open before the first request."""
    app = APIFlask(__name__, title="Dataflix", version="0.1.0", docs_path=None)
    # without this line Flask takes it from FLASK_DEBUG, and debugging changes how errors are handled
    app.debug = False
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.url_map.merge_slashes = False  # otherwise /movies//1 is answered by a redirect in HTML
    app.extensions["dataflix"] = shared
    with_token = bool(shared.settings.backend_token.get_secret_value())
    openapi.install(app, with_token=with_token)
    problems.install(app)
    request_handling.install(app, shared.settings)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


class _Worker(ThreadWorker):  # type: ignore[misc]
    """A worker process with threads, which knows its place among the workers: the lowest that was free.

    Requests that gunicorn itself refuses get a problem document, and the log does not quote them.
    """

    place = 0

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that did not reach the application."""
        del req, addr
        status = _status(exc)
        self.log.warning("refused a request: %s", type(exc).__name__)
        body = json.dumps(problem_document(status, f"the request cannot be served: {status.description}"))
        try:
            util.write_nonblock(client, _response(status, body))
        except OSError:
            self.log.debug("the client is gone")


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's master process; each worker process makes its own application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker: _Worker | None = None
        self._pool: Pool | None = None
        self._model_cache: model_cache.ModelCache | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options: a few processes, each with as many threads as connections to PostgreSQL."""
        options = {
            "bind": address(self._settings.bind, self._settings.backend_port),
            "workers": self._settings.backend_workers,
            "worker_class": _Worker,
            "threads": MOST_CONNECTIONS,
            "keepalive": _KEEPALIVE_SECONDS,
            "graceful_timeout": _GRACE_SECONDS,
            "logger_class": GunicornLog,
            "control_socket_disable": True,
            "pre_fork": self._before_fork,
            "worker_exit": self._at_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application, in the worker process."""
        place = self._worker.place if self._worker else 0
        counts = api_metrics.make_worker_metrics(place)
        self._pool = make_pool(self._settings)
        self._pool.open()
        app = create_app(Context(self._settings, self._pool, counts, place))
        self._model_cache = model_cache.start(app)
        return app

    def _before_fork(self, server: Any, worker: _Worker) -> None:
        taken = {other.place for other in server.WORKERS.values()}
        worker.place = next(place for place in range(len(taken) + 1) if place not in taken)
        self._worker = worker

    def _at_exit(self, _server: Any, _worker: _Worker) -> None:
        if self._model_cache is not None:
            self._model_cache.stop()
        if self._pool is not None:
            self._pool.close()


def _status(fault: Exception) -> HTTPStatus:
    ours = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)
    if isinstance(fault, ours) or not isinstance(fault, errors.ParseException):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return _STATUSES.get(type(fault), HTTPStatus.BAD_REQUEST)


def _response(status: HTTPStatus, body: str) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        f"Content-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode("ascii")


def _configure_logging(settings: Settings) -> None:
    """Log debug messages only of this program, if asked for: those of libraries may quote requests."""
    configure_logging("backend", logging.DEBUG if settings.backend_debug else logging.INFO)
    logging.getLogger().setLevel(logging.INFO)
    if settings.backend_debug:
        logging.getLogger("dataflix_backend").setLevel(logging.DEBUG)


def main() -> int:
    """Entry point: serve until SIGTERM or SIGINT; return 1 if the settings are wrong."""
    try:
        settings = load_settings()
        counts = settings.service_folder("backend") / "metrics"
    except SettingsError as fault:
        sys.stderr.write(f"dataflix-backend: {fault}\n")
        return 1
    _configure_logging(settings)
    api_metrics.clear(counts)
    Server(settings).run()
    return 0
