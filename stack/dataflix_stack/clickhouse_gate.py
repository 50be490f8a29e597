"""Decide who may log in to the native ClickHouse server as the user ``default``.

The engine of the ``chdb`` wheel logs its own session in as ``default`` with an empty password, which cannot
be changed. Its ``http_authentication`` lets an HTTP server decide about each login. This module is that
server, in a thread of the server's process. It accepts the engine's own session while no port is open yet,
and afterwards only logins with the readers' password, which get the settings of readers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

_SCHEME = "basic"
#: Longer than the engine keeps an idle connection (30 s), so that the engine closes it first.
_IDLE_SECONDS = 60
#: The longest request line or header that is read; a password of this length is refused.
_LONGEST_LINE = 65_536
#: The settings that a login with the password gets in addition to its profile, which the engine's own session
#: has too. ``readonly`` also forbids every SYSTEM statement, and the session cannot change it.
READER_SETTINGS = {"readonly": "2"}


class Gate:
    """Decides about one login at a time; it keeps only the password's hash."""

    def __init__(self, password: str | None) -> None:
        """Expect the engine's own session.

        Args:
            password: the readers' password; None: only the engine may log in as ``default``.
        """
        self._digest = None if password is None else _digest(password.encode())
        self._engine_expected = True

    def engine_is_in(self) -> None:
        """Refuse the empty password from now on. Call this before a port is open."""
        self._engine_expected = False

    def settings_for(self, authorization: str) -> dict[str, str] | None:
        """The settings of a session that this ``Authorization`` header opens; None: it is refused."""
        password = _password_of(authorization)
        if password is None:
            return None
        if not password:
            return {} if self._engine_expected else None
        # Hashes have equal lengths, so that the time of the comparison reveals nothing about the password.
        if self._digest is not None and hmac.compare_digest(_digest(password), self._digest):
            return READER_SETTINGS
        return None


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


def _password_of(authorization: str) -> bytes | None:
    """The password in a login of ``default`` by HTTP's basic scheme; None: it is no such login."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        user, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    except binascii.Error:
        return None
    return password if colon and user == b"default" else None


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection of the engine, which keeps its connections."""

    daemon_threads = True
    #: Logins that may wait for a thread at the same time.
    request_queue_size = 512

    def __init__(self, gate: Gate) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.gate = gate
        #: Part of the address, so that no other program of the machine can ask.
        self.path = f"/{secrets.token_urlsafe(32)}"


class _Connection(socketserver.StreamRequestHandler):
    """The part of HTTP/1.1 that the engine uses: GET requests without a body, one after the other.

    Each query over HTTP logs in, and so waits for this. Therefore it does no more than is needed.
    """

    server: _Server
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer requests until the engine closes the connection, is idle or sends something else."""
        try:
            while (request := self._read_request()) is not None:
                self._answer(*request)
        except (TimeoutError, ConnectionError):
            return  # the engine opens another connection when it needs one

    def _read_request(self) -> tuple[str, str] | None:
        """The path and the ``Authorization`` header of the next request; None: there is none."""
        method, _, rest = self._line().partition(" ")
        path, _, version = rest.partition(" ")
        if method != "GET" or version != "HTTP/1.1":
            return None
        authorization = ""
        while line := self._line():
            name, _, value = line.partition(":")
            if name.lower() == "authorization":
                authorization = value.strip()
        return path, authorization

    def _line(self) -> str:
        line = self.rfile.readline(_LONGEST_LINE)
        if line and not line.endswith(b"\n"):
            raise ConnectionError("the line is too long")
        return line.strip().decode("latin-1")

    def _answer(self, path: str, authorization: str) -> None:
        known = hmac.compare_digest(path.encode("latin-1"), self.server.path.encode())
        settings = self.server.gate.settings_for(authorization) if known else None
        status = HTTPStatus.UNAUTHORIZED if settings is None else HTTPStatus.OK
        body = json.dumps({"settings": settings}) if settings else ""
        self.wfile.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )


@contextmanager
def serve_gate(gate: Gate) -> Iterator[str]:
    """Serve the gate on a free loopback port within this context, and yield its address."""
    with _Server(gate) as server:
        thread = threading.Thread(target=server.serve_forever, name="gate", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{server.path}"
        finally:
            server.shutdown()
            thread.join()
