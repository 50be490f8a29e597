"""What the shell says about proxies does not send the stack's logins to one."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import pytest

from support.stack import Stack


class Proxy(ThreadingHTTPServer):
    """A proxy that notes what it is asked for, and lets nothing through."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusing)
        self.asked: list[str] = []


class _Refusing(BaseHTTPRequestHandler):
    server: Proxy

    def _refuse(self) -> None:
        self.server.asked.append(self.requestline)
        self.send_error(502)

    do_GET = do_POST = do_CONNECT = _refuse  # noqa: N815 - the names that the library looks for

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that this process and its children are told to use for everything."""
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for spelt in (name, name.upper()):
                monkeypatch.setenv(spelt, f"http://127.0.0.1:{server.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server
        server.shutdown()
        thread.join()


def test_no_login_of_the_stack_reaches_a_proxy(stack: Stack, proxy: Proxy) -> None:
    with pytest.raises(HTTPError):
        urllib.request.urlopen("http://elsewhere.invalid/")
    assert proxy.asked == ["GET http://elsewhere.invalid/ HTTP/1.1"]
    proxy.asked.clear()
    status = stack.run("bin/dataflix-pipeline", "status", check=False)
    assert "no run yet" in status.stderr or status.stdout  # Airflow has answered
    stack.run("bin/dataflix-warehouse")
    assert proxy.asked == []
