"""The program ``dataflix-dbt-webhook``: takes requests for runs of dbt, and shows runs and documentation.

gunicorn with one process serves the paths and runs dbt. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import structlog
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    jsonify,
    redirect,
    request,
    send_file,
    url_for,
)
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed
from werkzeug.wrappers import Response as AnyResponse

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_contract.web_server import (
    NOT_UTF8,
    PROBLEM,
    GunicornLog,
    address,
    problem_document,
    query_is_utf8,
    sends_token,
)
from dataflix_dbt.project import Folders, UnreachableError, check_clickhouse
from dataflix_dbt.run_store import Store
from dataflix_dbt.runs import (
    KeyReusedError,
    QueueFullError,
    RequestError,
    Run,
    Status,
    parse_key,
    parse_request,
)
from dataflix_dbt.worker import Metrics, Worker

_MOST_BODY_BYTES = 16_384
_LISTED_RUNS = 50
_RETRY_SECONDS = "60"
# The page contains everything that it shows. It also has code that loads a tracker, so it may fetch nothing.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';"
    " img-src data:; font-src data:"
)

log = structlog.get_logger(__name__)
_THREADS = 8
_GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Service:
    """The objects that the paths work with."""

    settings: Settings
    folders: Folders
    store: Store
    worker: Worker
    metrics: Metrics


def create_app(service: Service) -> Flask:
    """Make the Flask application of a service."""
    app = Flask(__name__, static_folder=None)
    app.debug = False  # otherwise Flask takes it from FLASK_DEBUG
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.extensions["dataflix"] = service
    app.before_request(_require_utf8)
    app.register_blueprint(_runs)
    app.register_blueprint(_open)
    app.register_error_handler(HTTPException, _problem)
    app.register_error_handler(Exception, _unexpected)
    return app


_runs = Blueprint("runs", __name__, url_prefix="/runs")
_open = Blueprint("open", __name__)


def _service() -> Service:
    service: Service = current_app.extensions["dataflix"]
    return service


def _require_utf8() -> None:
    if not query_is_utf8(request.query_string):
        abort(HTTPStatus.BAD_REQUEST, NOT_UTF8)


@_runs.before_request
def _authorize() -> None:
    token = _service().settings.dbt_token.get_secret_value()
    if not sends_token(request.headers.get("Authorization"), token):
        abort(HTTPStatus.UNAUTHORIZED, "send Authorization: Bearer with DATAFLIX_DBT_TOKEN")


@_runs.post("")
def request_run() -> tuple[Response, int, dict[str, str]]:
    """Take a request for a run: 202 with the run that answers it, new or not."""
    service = _service()
    try:
        wanted = parse_request(request.get_json() if request.get_data() else {})
        key = parse_key(request.headers.get("Idempotency-Key"))
    except RequestError as fault:
        abort(HTTPStatus.BAD_REQUEST, str(fault))
    try:
        run = service.store.request_run(wanted, key)
    except KeyReusedError:
        abort(HTTPStatus.UNPROCESSABLE_ENTITY, "this Idempotency-Key came before, with another request")
    except QueueFullError:
        abort(HTTPStatus.SERVICE_UNAVAILABLE, "too many runs wait: ask again later")
    service.worker.wake()
    return jsonify(_detail(run)), HTTPStatus.ACCEPTED, {"Location": url_for("runs.show", run_id=run.id)}


@_runs.get("")
def overview() -> Response:
    """The newest runs, without their results."""
    return jsonify({"runs": [_summary(run) for run in _service().store.newest(_LISTED_RUNS)]})


@_runs.get("/<run_id>")
def show(run_id: str) -> Response:
    """One run with its results."""
    return jsonify(_detail(_known(run_id)))


@_runs.get("/<run_id>/logs")
def logs(run_id: str) -> AnyResponse:
    """Show dbt's output so far."""
    path = _service().folders.log(_known(run_id).id)
    if not path.exists():
        return Response("", mimetype="text/plain")
    return send_file(path, mimetype="text/plain", max_age=0)


@_open.get("/health/live")
def live() -> Response:
    """Say that the server answers; for liveness probes."""
    return jsonify({"status": "ok"})


@_open.get("/health")
@_open.get("/health/ready")
def ready() -> tuple[Response, int]:
    """Say whether a run could be done now, and if not, why."""
    faults = _faults(_service())
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return jsonify({"status": "not ready" if faults else "ok", "faults": faults}), status


@_open.get("/metrics")
def metrics() -> Response:
    """Counters for Prometheus."""
    service = _service()
    for status in (Status.QUEUED, Status.RUNNING):
        service.metrics.unfinished.labels(status).set(service.store.count(status))
    return Response(service.metrics.render(), content_type=CONTENT_TYPE_LATEST)


@_open.get("/")
def start() -> AnyResponse:
    """Redirect a browser to the documentation."""
    return redirect(url_for("open.docs"))


@_open.get("/docs/")
def docs() -> AnyResponse:
    """Show the documentation that the last run made: tables, columns, tests and lineage, but no rows."""
    page = _service().folders.docs_page
    if not page.exists():
        abort(HTTPStatus.NOT_FOUND, "no run has made the documentation yet: POST /runs")
    answer = send_file(page, mimetype="text/html", max_age=0)
    answer.headers["Content-Security-Policy"] = _DOCS_POLICY
    return answer


def _faults(service: Service) -> list[str]:
    faults = []
    if not service.worker.alive:
        faults.append("no thread takes runs")
    try:
        service.store.check()
    except sqlite3.Error as fault:
        faults.append(f"the database of runs cannot be written to: {fault}")
    try:
        check_clickhouse(service.settings)
    except UnreachableError as fault:
        faults.append(str(fault))
    return faults


def _known(run_id: str) -> Run:
    run = _service().store.get(run_id)
    if run is None:
        abort(HTTPStatus.NOT_FOUND, "there is no run of this id: GET /runs lists them")
    return run


def _summary(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        **asdict(run.request),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": run.error,
        "failed_tests": run.failed_tests,
    }


def _detail(run: Run) -> dict[str, Any]:
    return _summary(run) | {"results": [asdict(one) for one in run.results]}


def _problem(fault: HTTPException) -> Response:
    code = fault.code or HTTPStatus.INTERNAL_SERVER_ERROR
    answer = jsonify(problem_document(code, fault.description or fault.name))
    answer.status_code = code
    answer.content_type = PROBLEM
    if isinstance(fault, MethodNotAllowed):
        answer.allow.update(fault.valid_methods or [])
    if code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="dataflix-dbt"'
    if code == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = _RETRY_SECONDS
    return answer


def _unexpected(fault: Exception) -> Response:
    log.error("a request failed", path=request.path, exc_info=fault)
    return _problem(InternalServerError("see the server's log"))


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's master process; the service is made in its only worker process."""

    def __init__(self, settings: Settings, where: Folders) -> None:
        self._settings = settings
        self._where = where
        self._worker: Worker | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options: one process, because a thread of it runs dbt."""
        options = {
            "bind": address(self._settings.bind, self._settings.dbt_port),
            "workers": 1,
            "worker_class": "gthread",
            "threads": _THREADS,
            "graceful_timeout": _GRACE_SECONDS,
            "logger_class": GunicornLog,
            "control_socket_disable": True,
            "post_worker_init": lambda _worker: self._begin(),
            "worker_exit": lambda _arbiter, _worker: self._end(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the service, in the worker process."""
        store, metrics = Store(self._where.database), Metrics()
        self._worker = Worker(store, self._where, self._settings, metrics)
        return create_app(Service(self._settings, self._where, store, self._worker, metrics))

    def _begin(self) -> None:
        if self._worker:
            self._worker.start()

    def _end(self) -> None:
        if self._worker:
            self._worker.stop()


def main() -> int:
    """Entry point: serve until SIGTERM or SIGINT; return 1 if settings or folders cannot be used."""
    configure_logging("dbt-webhook")
    try:
        settings = load_settings()
        where = Folders(settings.service_folder("dbt"))
        where.make()
    except (SettingsError, OSError) as fault:
        sys.stderr.write(f"dataflix-dbt-webhook: {fault}\n")
        return 1
    _Server(settings, where).run()
    return 0
