"""The program ``dataflix-kafka-ui``: serves a list of topics, and a terminal for each opened page.

There is no login, and raw topics hold personal data. A browser would open a WebSocket to this address for any
site that the operator visits. Therefore requests are only served if the names in ``Host`` and ``Origin`` are
this server's.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp_jinja2
import jinja2
import structlog
import textual_serve
from aiohttp import WSCloseCode, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager
from textual_serve.server import Server, to_int

from dataflix_contract import Settings, SettingsError, load_settings, tables
from dataflix_contract.logs import configure_logging
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC

log = structlog.get_logger(__name__)

#: How many terminals there may be at once; each is a process.
MOST_TERMINALS = 8
_GRACE_SECONDS = 5.0
_STOP_SECONDS = 3
_HEARTBEAT_SECONDS = 15
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OURS = Path(str(importlib.resources.files(__package__)))
_THEIRS = Path(textual_serve.__file__).parent / "static"
#: xterm sets styles on elements. Scripts come from this server only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self';"
    " img-src 'self' data: blob:; connect-src 'self' {socket}; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_PROGRAM = (sys.executable, "-m", "dataflix_kafka_ui.kaskade_terminal")
_HINT = "python -m dataflix_kafka_ui.kaskade_terminal TOPIC in a terminal says why"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The host names, without port, that requests to this server may use."""
    return frozenset({"localhost", "127.0.0.1", "::1", settings.bind, settings.kafka_ui_host})


def refusal(allowed: frozenset[str], host: str, origin: str | None, *, socket: bool) -> str | None:
    """Why a request is refused; None: it is served.

    Args:
        allowed: host names of this server.
        host: the request's ``Host``.
        origin: the request's ``Origin``, if it has one.
        socket: whether it asks for a WebSocket; then it must name its origin, as browsers do.
    """
    if urlsplit(f"//{host}").hostname not in allowed:
        return "this server is not known by that name: use the address in DATAFLIX_KAFKA_UI_HOST"
    if origin is None:
        return "a WebSocket is for pages of this server" if socket else None
    return None if urlsplit(origin).netloc == host else "pages of other sites may not ask"


class Terminal(AppService):
    """A terminal's process, connected to the browser.

    Args:
        topic: the topic that it shows; None: all topics.
        socket: the connection to the browser.
        downloads: keeps exported records until the browser fetches them.
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
        """Start the process, without the shell that the base class would use."""
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
        """Ask the process to end, and kill it if it does not."""
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


class KafkaUi(Server):
    """textual-serve with Dataflix's pages, and checks of who may use them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("", host=settings.bind, port=settings.kafka_ui_port, title="Kafka")
        self._allowed = allowed_hosts(settings)
        self._sockets: set[web.WebSocketResponse] = set()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        web.run_app(
            self._make_app(),
            host=self.host,
            port=self.port,
            shutdown_timeout=_GRACE_SECONDS,
            access_log=None,
            print=lambda *_: None,
        )

    async def _make_app(self) -> web.Application:
        """Make the application: its routes, the check of requests, and the closing of terminals."""
        app = web.Application(middlewares=[self._guard])
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(_OURS / "templates"), autoescape=True)
        app.add_routes(
            [
                web.get("/", self.handle_index),
                web.get("/health/live", _live),
                web.get("/topics", self._terminal_page),
                web.get("/topics/{topic}", self._terminal_page),
                web.get("/ws", self.handle_websocket),
                web.get("/ws/{topic}", self.handle_websocket),
                web.get("/download/{key}", self.handle_download),
                web.static("/static/ours", _OURS / "static"),
                web.static("/static", _THEIRS),
            ]
        )
        app.on_shutdown.append(self.on_shutdown)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        why = refusal(self._allowed, request.host, request.headers.get("Origin"), socket=socket)
        if why is not None:
            raise web.HTTPForbidden(text=f"{why}\n")
        answer = await handler(request)
        if not answer.prepared:
            answer.headers["Content-Security-Policy"] = _POLICY.format(socket=_socket_origin(request))
            answer.headers["X-Content-Type-Options"] = "nosniff"
            answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    async def on_shutdown(self, app: web.Application) -> None:
        """Close every terminal, which also ends its process."""
        del app
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")

    async def handle_index(self, request: web.Request) -> web.Response:
        """Show the contract's topics as links."""
        groups = {
            "Masked": [table.masked_topic for table in tables().values()],
            "Raw: personal data": [table.raw_topic for table in tables().values()],
            "Not masked, and why": [DEAD_LETTER_TOPIC, DRIFT_TOPIC],
        }
        return aiohttp_jinja2.render_template("index.html", request, {"groups": groups})

    async def _terminal_page(self, request: web.Request) -> web.Response:
        topic = _topic(request)
        path = "/ws" if topic is None else f"/ws/{topic}"
        values = {"title": topic or "All topics", "socket": f"{_socket_origin(request)}{path}"}
        return aiohttp_jinja2.render_template("terminal.html", request, values)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a terminal as long as its page is open."""
        topic = _topic(request)
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS)
        await socket.prepare(request)
        if len(self._sockets) >= MOST_TERMINALS:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"close another tab first")
            return socket
        self._sockets.add(socket)
        terminal = Terminal(topic, socket, self.download_manager)
        try:
            await terminal.start(_cells(request, "width", 80), _cells(request, "height", 24))
            await self._process_messages(socket, terminal)
        finally:
            self._sockets.discard(socket)
            await terminal.end()
        return socket


def _socket_origin(request: web.Request) -> str:
    return f"{'wss' if request.secure else 'ws'}://{request.host}"


def _topic(request: web.Request) -> str | None:
    topic: str | None = request.match_info.get("topic")
    if topic is not None and not _TOPIC.fullmatch(topic):
        raise web.HTTPNotFound(text="a topic's name has letters, digits, dots, dashes and underscores\n")
    return topic


def _cells(request: web.Request, name: str, default: int) -> int:
    """The terminal's width or height that the page gives, within bounds."""
    return min(max(to_int(request.query.get(name, ""), default), 20), 500)


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "kaskade": version("kaskade")})


def main() -> int:
    """Entry point: serve until SIGTERM or SIGINT; return 1 if the settings cannot be used."""
    configure_logging("kafka-ui")
    try:
        settings = load_settings()
    except SettingsError as fault:
        sys.stderr.write(f"dataflix-kafka-ui: {fault}\n")
        return 1
    log.info("serving", address=f"{settings.bind}:{settings.kafka_ui_port}", login="none")
    KafkaUi(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
