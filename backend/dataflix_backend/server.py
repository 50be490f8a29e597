"""The program ``dataflix-backend``: gunicorn with a few processes, each with threads."""

from __future__ import annotations

import logging
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from dataflix_backend.context import Context
from dataflix_backend.database import MOST_CONNECTIONS, make_pool
from dataflix_backend.web import create_app
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging

_GRACE_SECONDS = 10


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the shape of everybody's."""

    def setup(self, cfg: Any) -> None:
        """Leave the lines to the root logger."""
        del cfg
        self.error_log = logging.getLogger("gunicorn")
        self.error_log.setLevel(logging.INFO)


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's master; each worker process makes its own application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """A few processes, each with as many threads as connections."""
        host = self._settings.bind
        options = {
            "bind": f"{f'[{host}]' if ':' in host else host}:{self._settings.backend_port}",
            "workers": self._settings.backend_workers,
            "worker_class": "gthread",
            "threads": MOST_CONNECTIONS,
            "graceful_timeout": _GRACE_SECONDS,
            "logger_class": _Log,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application, in the worker process."""
        pool = make_pool(self._settings)
        pool.open()
        return create_app(Context(self._settings, pool))


def main() -> int:
    """Entry point: serve until SIGTERM or SIGINT; 1 after a fault."""
    configure_logging("backend")
    try:
        settings = load_settings()
    except SettingsError as fault:
        sys.stderr.write(f"dataflix-backend: {fault}\n")
        return 1
    _Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
