"""The health check of the containers, against a server that answers what a test says."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support.stack import ROOT

COMMAND = [sys.executable, "-I", str(ROOT / "scripts" / "healthcheck")]
ANSWERS = {
    "/well": (200, b'{"scheduler": {"status": "healthy"}}'),
    "/ill": (200, b'{"scheduler": {"status": "unhealthy"}}'),
    "/text": (200, b"OK"),
    "/away": (503, b""),
}


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path.partition("?")[0]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "wanted", "code"),
    [
        ("/well", [], 0),
        ("/well?n=1", [], 0),
        ("/well", ["scheduler.status", "healthy"], 0),
        ("/ill", ["scheduler.status", "healthy"], 1),
        ("/well", ["triggerer.status", "healthy"], 1),
        ("/text", ["scheduler.status", "healthy"], 1),
        ("/away", [], 1),
    ],
)
def test_exit_code(port: int, path: str, wanted: list[str], code: int) -> None:
    command = [*COMMAND, f"http://127.0.0.1:$PORT{path}", *wanted]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PORT": str(port)})
    assert done.returncode == code
    assert bool(done.stderr) == bool(code)
    assert "Traceback" not in done.stderr


def test_nobody_there() -> None:
    with HTTPServer(("127.0.0.1", 0), _Server) as taken:
        free = taken.server_port
    command = [*COMMAND, f"http://127.0.0.1:{free}/"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
