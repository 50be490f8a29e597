"""Run ClickHouse as a server process from the ``chdb`` wheel: ``python -m dataflix_stack.clickhouse_server``.

The wheel holds the whole server in one shared library. A session of the engine opens the ports, and then
calls a Python function that only returns when the server must stop. Meanwhile the library serves HTTP and the
native protocol.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import secrets
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import structlog
from filelock import FileLock, Timeout

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_contract.logs import configure_logging
from dataflix_contract.settings import shared_names
from dataflix_contract.settings_conflicts import CLICKHOUSE_USERS
from dataflix_stack import paths
from dataflix_stack.clickhouse_gate import Gate, serve_gate
from dataflix_stack.paths import Layout
from dataflix_stack.port_conflicts import is_free

#: The user of the engine's own session in the native server; in a container, a user like any other.
_ENGINE_USER = "default"
_PORT_POLL_SECONDS = 0.2
#: How many times the ports are opened before the server ends.
_OPENINGS = 20

log = structlog.get_logger(__name__)


class _Files:
    """The paths of a server's files."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.clickhouse
        self.logs = layout.logs
        self.data = self.root / "data"
        self.home = self.root / "home"
        #: The engine looks for its configuration here, below its HOME.
        self.config = self.home / ".clickhouse-local"
        #: Locked while a server runs on this data.
        self.lock = self.root / "lock"


def render_config(settings: Settings, layout: Layout, gate_url: str) -> dict[Path, str]:
    """Render the server's configuration files: text by path.

    ``gate_url`` is the address at which the server asks whether a client may log in as ``default``.

    Raises:
        Fault: the settings give two users the same name.
    """
    files = _Files(layout)
    own = {"native.xml.j2": files.config / "config.xml", "native-users.xml.j2": files.config / "users.xml"}
    reader_is_engine = settings.clickhouse_user == _ENGINE_USER
    return _render(
        settings,
        files.config,
        own,
        log_dir=files.logs,
        gate_url=gate_url,
        reader_is_engine=reader_is_engine,
    )


def render_container_config(settings: Settings, folder: Path) -> dict[Path, str]:
    """Render the configuration files of a server of the official image, below ``folder``: text by path.

    Raises:
        Fault: the settings give two users the same name.
    """
    own = {"container.xml.j2": folder / "config.xml", "container-users.xml.j2": folder / "users.xml"}
    return _render(settings, folder, own, reader_is_engine=False)


def _render(settings: Settings, folder: Path, own: Mapping[str, Path], **values: object) -> dict[Path, str]:
    """Render the ``own`` templates of one kind of server, and those for every kind."""
    users = {
        "admin": (settings.clickhouse_admin_user, settings.clickhouse_admin_password),
        "batch": (settings.clickhouse_batch_user, settings.clickhouse_batch_password),
        "dbt": (settings.clickhouse_dbt_user, settings.clickhouse_dbt_password),
        "reader": (settings.clickhouse_user, settings.clickhouse_password),
    }
    if faults := shared_names(settings, CLICKHOUSE_USERS):
        raise Fault("; ".join(faults))
    values |= {
        "bind": settings.bind,
        "http_port": settings.clickhouse_http_port,
        "tcp_port": settings.clickhouse_tcp_port,
        "users_file": folder / "users.xml",
    }
    for role, (name, password) in users.items():
        values |= {f"{role}_user": name, f"{role}_password_sha256": _sha256(password.get_secret_value())}
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.repo_root() / "clickhouse" / "server"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        keep_trailing_newline=True,
    )
    targets = {
        **own,
        "settings.xml.j2": folder / "config.d" / "dataflix.xml",
        "users.xml.j2": folder / "users.d" / "dataflix.xml",
    }
    return {path: templates.get_template(name).render(values) for name, path in targets.items()}


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _prepare(texts: dict[Path, str], files: _Files) -> None:
    for folder in (files.data, files.logs):
        folder.mkdir(parents=True, exist_ok=True)
    files.home.mkdir(mode=0o700, exist_ok=True)
    for path, text in texts.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _only_server(files: _Files) -> Iterator[None]:
    files.root.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(files.lock, blocking=False).acquire()
    except Timeout:
        raise Fault(
            f"a ClickHouse server already runs on {files.root}: stop it, or set DATAFLIX_DATA_DIR"
        ) from None
    with lock:
        yield


def _load_engine() -> Any:
    """Import the engine's module without the package around it.

    ``import chdb`` opens and closes an engine once, after which every Kafka table of the process fails.
    Therefore an empty module takes the package's place.
    """
    spec = importlib.util.find_spec("chdb")
    if spec is None or spec.submodule_search_locations is None:
        raise Fault("the package chdb-core is not installed: run scripts/envs")
    package = types.ModuleType("chdb")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["chdb"] = package
    return importlib.import_module("chdb._chdb")


class _Engine(threading.Thread):
    """Runs the engine until it is told to stop; if it ends before, ``failure`` says why."""

    def __init__(self, data: Path, gate: Gate, ports: Sequence[tuple[str, int]]) -> None:
        """Prepare the thread: the folder of the data, the gate for logins, and the ports to keep open."""
        super().__init__(name="clickhouse", daemon=True)
        self._data = data
        self._gate = gate
        self._ports = ports
        self._closed: list[int] = []
        self._stop_asked = threading.Event()
        #: Everybody who logs in can call the SQL function below, but it does nothing without this token.
        self._token = secrets.token_hex(16)
        self.failure: Exception | None = None

    def run(self) -> None:
        """Log in, close the gate to the empty password, and only then open the ports and wait.

        The engine's user may open ports, and so may also close them. ``readonly`` does not forbid that in
        HTTP sessions with a ``session_id``, since the engine does not apply the gate's settings to them.
        Therefore closed ports are opened again; after many times, the server ends and is started anew.
        """
        listen = (
            "SYSTEM START LISTEN QUERIES ALL;"
            f" SELECT dataflix_engine('listening', '{self._token}')"
            " SETTINGS timeout_overflow_mode = 'break' FORMAT Null;"
        )
        sql = f"SELECT dataflix_engine('logged in', '{self._token}') FORMAT Null; {listen * _OPENINGS}"
        try:
            engine = _load_engine()
            engine.create_function("dataflix_engine", self._reached, ["String", "String"], "UInt8")
            # This replaces the engine's own function, which reads any file of this machine without a grant.
            engine.create_function("file", _refuse_to_read, ["String"], "String")
            engine.query(sql, "TSV", path=str(self._data))
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread reports it
            self.failure = error

    def stop(self) -> None:
        """Let the engine's session end, and wait until the engine is down."""
        self._stop_asked.set()
        self.join()

    def _reached(self, step: str, token: str) -> int:
        """The SQL function that the engine's session calls, perhaps several times for one statement."""
        if secrets.compare_digest(token.encode(), self._token.encode()):
            if step == "logged in":
                self._gate.engine_is_in()
            else:
                self._wait()
        return 0

    def _wait(self) -> None:
        """Wait until the server must stop, or one of its ports is closed."""
        while not self._closed_ports():
            if self._stop_asked.wait(_PORT_POLL_SECONDS):
                return

    def _closed_ports(self) -> list[int]:
        closed = [port for host, port in self._ports if is_free(host, port)]
        if closed != self._closed:  # logged once, and not for each call of the function
            self._closed = closed
            if closed:
                log.warning("somebody closed ports: opening them again", ports=closed)
        return closed


def _refuse_to_read(_path: str) -> str:
    """The SQL function ``file``, which refuses every call."""
    raise PermissionError("the function file is switched off: nobody reads files through this server")


# The engine's errors name the file of a failed Python function, and readers must not see the server's paths.
_refuse_to_read.__code__ = _refuse_to_read.__code__.replace(co_filename="dataflix")


def serve(settings: Settings, layout: Layout) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises:
        Fault: the server cannot start, or it ended without being asked to.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    files = _Files(layout)
    reader_is_engine = settings.clickhouse_user == _ENGINE_USER
    gate = Gate(settings.clickhouse_password.get_secret_value() if reader_is_engine else None)
    with _only_server(files), serve_gate(gate) as gate_url:
        _prepare(render_config(settings, layout, gate_url), files)
        os.environ["HOME"] = str(files.home)
        ports = [
            (settings.bind, port) for port in (settings.clickhouse_http_port, settings.clickhouse_tcp_port)
        ]
        engine = _Engine(files.data, gate, ports)
        engine.start()
        log.info("starting", http_port=settings.clickhouse_http_port, tcp_port=settings.clickhouse_tcp_port)
        while engine.is_alive() and not asked.wait(timeout=0.5):
            pass
        if not asked.is_set():
            raise Fault(f"the engine ended by itself: {engine.failure or 'see the lines above'}")
        engine.stop()
        log.info("stopped")


def main() -> int:
    """Entry point: serve until asked to stop; return 0 after a clean stop, 1 after a fault."""
    configure_logging("clickhouse")
    try:
        settings = load_settings()
        serve(settings, paths.layout(settings))
    except (Fault, SettingsError, OSError) as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
