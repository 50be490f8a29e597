"""The terminals behind the pages: one process for each open tab."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import structlog
from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

log = structlog.get_logger(__name__)

_STOP_SECONDS = 3
_PROGRAM = (sys.executable, "-m", "dataflix_kafka_ui.session")
_HINT = "python -m dataflix_kafka_ui.session TOPIC in a terminal says why"


class Terminal(AppService):
    """A terminal's process, and the browser's end of it.

    Args:
        topic: what it shows; None: all topics.
        socket: the browser.
        downloads: where exported records wait to be fetched.
    """

    def __init__(self, topic: str | None, socket: web.WebSocketResponse, downloads: DownloadManager) -> None:
        super().__init__(
            "",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=self._close,
            download_manager=downloads,
        )
        self._topic = topic
        self._socket = socket

    async def _close(self) -> None:
        await self._socket.close()

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        """Start the process: without a shell, which the base class would use."""
        self._process = process = await asyncio.create_subprocess_exec(
            *_PROGRAM,
            *(() if self._topic is None else (self._topic,)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
        )
        self._stdin = process.stdin
        return process

    async def end(self) -> None:
        """End the process: asked first, then killed."""
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self.stop(), _STOP_SECONDS)
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except (TimeoutError, ConnectionError):
            self._process.kill()
            await self._process.wait()
        if self._process.returncode:
            log.warning("a terminal failed", topic=self._topic, code=self._process.returncode, hint=_HINT)
