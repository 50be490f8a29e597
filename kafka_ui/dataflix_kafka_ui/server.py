"""``dataflix-kafka-ui``: a list of topics, and a terminal for each page that is opened."""

from __future__ import annotations

import importlib.resources
import re
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import aiohttp_jinja2
import jinja2
import structlog
import textual_serve
from aiohttp import WSCloseCode, web
from textual_serve.server import Server, to_int

from dataflix_contract import Settings, SettingsError, load_settings, tables
from dataflix_contract.logs import configure_logging
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC
from dataflix_kafka_ui.access import allowed_hosts, refusal
from dataflix_kafka_ui.terminals import Terminal

log = structlog.get_logger(__name__)

#: Terminals at once; each is a process.
MOST_TERMINALS = 8
_GRACE_SECONDS = 5.0
_HEARTBEAT_SECONDS = 15
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OURS = Path(str(importlib.resources.files(__package__)))
_THEIRS = Path(textual_serve.__file__).parent / "static"
#: xterm sets styles on elements; nothing is evaluated, nothing comes from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self';"
    " img-src 'self' data: blob:; connect-src 'self' {socket}; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KafkaUi(Server):
    """textual-serve with pages of our own, for visitors of our own."""

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
        """Routes, who may use them, and what is closed at the end."""
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
        """Close every terminal: its process ends with it."""
        del app
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")

    async def handle_index(self, request: web.Request) -> web.Response:
        """The contract's topics, each a link."""
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
        """A terminal, as long as its page is open."""
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
    """The terminal's size as the page says, within reason."""
    return min(max(to_int(request.query.get(name, ""), default), 20), 500)


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "kaskade": version("kaskade")})


def main() -> int:
    """Entry point: serve until SIGTERM or SIGINT; 1 when the settings cannot be used."""
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
