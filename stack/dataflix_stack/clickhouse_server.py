"""ClickHouse as a server process, out of the ``chdb`` wheel.

The wheel holds the whole server in one shared library. Asked to open its ports and then
to read a FIFO that nobody writes to, the library serves HTTP and the native protocol until
a line is written there. Run it as ``python -m dataflix_stack.clickhouse_server``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import structlog

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_stack import paths
from dataflix_stack.errors import StackError
from dataflix_stack.paths import Layout

_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STOP_POLL_SECONDS = 0.05

log = structlog.get_logger(__name__)


class _Files:
    """Where one server keeps its files."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.clickhouse
        self.logs = layout.logs
        self.data = self.root / "data"
        self.home = self.root / "home"
        #: The engine looks for its configuration here, below its HOME.
        self.config = self.home / ".clickhouse-local"
        #: A line written here stops the server.
        self.fifo = self.root / "stop.fifo"
        #: Locked while a server runs on this data.
        self.lock = self.root / "lock"


def render_config(settings: Settings, layout: Layout) -> dict[Path, str]:
    """The server's configuration files: text by path.

    Raises:
        StackError: a user's name cannot be used.
    """
    files = _Files(layout)
    own = {"native.xml.j2": files.config / "config.xml", "native-users.xml.j2": files.config / "users.xml"}
    return _render(settings, files.config, own, log_dir=files.logs)


def render_container_config(settings: Settings, folder: Path) -> dict[Path, str]:
    """The configuration files of a server of the official image, below ``folder``: text by path.

    Raises:
        StackError: a user's name cannot be used.
    """
    own = {"container.xml.j2": folder / "config.xml", "container-users.xml.j2": folder / "users.xml"}
    return _render(settings, folder, own)


def _render(settings: Settings, folder: Path, own: Mapping[str, Path], **values: object) -> dict[Path, str]:
    """The ``own`` templates of one kind of server, and those that every kind reads."""
    users = {
        "admin": (settings.clickhouse_admin_user, settings.clickhouse_admin_password),
        "batch": (settings.clickhouse_batch_user, settings.clickhouse_batch_password),
        "dbt": (settings.clickhouse_dbt_user, settings.clickhouse_dbt_password),
        "reader": (settings.clickhouse_user, settings.clickhouse_password),
    }
    _check_users([name for name, _ in users.values()])
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


def _check_users(names: Sequence[str]) -> None:
    for name in names:
        if not _USER_NAME.fullmatch(name) or name == "default":
            raise StackError(
                f"the ClickHouse user {name!r} must be letters, digits and underscores, and not 'default'"
            )
    if len(set(names)) < len(names):
        raise StackError("ClickHouse's users must differ: see DATAFLIX_CLICKHOUSE_*USER")


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _prepare(texts: dict[Path, str], files: _Files) -> None:
    for folder in (files.data, files.logs):
        folder.mkdir(parents=True, exist_ok=True)
    files.home.mkdir(mode=0o700, exist_ok=True)
    for path, text in texts.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    files.fifo.unlink(missing_ok=True)
    os.mkfifo(files.fifo, 0o600)


@contextlib.contextmanager
def _only_server(files: _Files) -> Iterator[None]:
    files.root.mkdir(parents=True, exist_ok=True)
    with files.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"a ClickHouse server already runs on {files.root}: stop it, or set DATAFLIX_DATA_DIR"
            ) from None
        yield


def _load_engine() -> Any:
    """The engine's module, without the package around it.

    ``import chdb`` opens and closes an engine once, after which every Kafka table of the
    process fails: an empty module takes the package's place.
    """
    spec = importlib.util.find_spec("chdb")
    if spec is None or spec.submodule_search_locations is None:
        raise StackError("the package chdb-core is not installed: run scripts/envs stack")
    package = types.ModuleType("chdb")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["chdb"] = package
    return importlib.import_module("chdb._chdb")


class _Engine(threading.Thread):
    """Runs the engine until the FIFO is written to; ``failure`` is why it ended otherwise."""

    def __init__(self, files: _Files) -> None:
        super().__init__(name="clickhouse", daemon=True)
        self._files = files
        self.failure: Exception | None = None

    def run(self) -> None:
        fifo = str(self._files.fifo).replace("\\", "\\\\").replace("'", "\\'")
        sql = f"SYSTEM START LISTEN QUERIES ALL; SELECT * FROM file('{fifo}', LineAsString) FORMAT Null"
        try:
            _load_engine().query(sql, "TSV", path=str(self._files.data))
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread reports it
            self.failure = error

    def stop(self) -> None:
        """Write to the FIFO as soon as the engine reads it, and wait for the end."""
        while self.is_alive():
            with contextlib.suppress(_NoReaderError):
                _write_line(self._files.fifo)
                break
            time.sleep(_STOP_POLL_SECONDS)
        self.join()


class _NoReaderError(Exception):
    """Nobody has the FIFO open for reading yet."""


def _write_line(fifo: Path) -> None:
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _NoReaderError from error
        raise
    try:
        os.write(descriptor, b"stop\n")
    finally:
        os.close(descriptor)


def serve(settings: Settings, layout: Layout) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises:
        StackError: it cannot start, or it ended without being asked to.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    files = _Files(layout)
    with _only_server(files):
        _prepare(render_config(settings, layout), files)
        os.environ["HOME"] = str(files.home)
        engine = _Engine(files)
        engine.start()
        log.info("starting", http_port=settings.clickhouse_http_port, tcp_port=settings.clickhouse_tcp_port)
        while engine.is_alive() and not asked.wait(timeout=0.5):
            pass
        if not asked.is_set():
            raise StackError(f"the engine ended by itself: {engine.failure or 'see the lines above'}")
        engine.stop()
        log.info("stopped")


def main() -> int:
    """Entry point: 0 after a clean stop, 1 after a fault."""
    configure_logging("clickhouse")
    try:
        settings = load_settings()
        serve(settings, paths.layout(settings))
    except (StackError, SettingsError, OSError) as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
