"""The program ``dataflix-dbt-webhook``: gunicorn with one process that serves and runs dbt."""

from __future__ import annotations

import sys

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_contract.web_server import GunicornLog, address
from dataflix_dbt.folders import Folders
from dataflix_dbt.run_metrics import Metrics
from dataflix_dbt.store import Store
from dataflix_dbt.web import Service, create_app
from dataflix_dbt.worker import Worker

_THREADS = 8
_GRACE_SECONDS = 10


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's master; the service is made in its only worker process."""

    def __init__(self, settings: Settings, where: Folders) -> None:
        self._settings = settings
        self._where = where
        self._worker: Worker | None = None
        super().__init__()

    def load_config(self) -> None:
        """One process, because one thread of it runs dbt."""
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
    """Entry point: serve until SIGTERM or SIGINT; 1 after a fault."""
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


if __name__ == "__main__":
    sys.exit(main())
