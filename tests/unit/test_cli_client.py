"""The command line's client: what an answer means, and second tries that write once."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from dataflix_cli import config
from dataflix_cli.client import Api, fault_of, retry_after, validation_errors
from dataflix_cli.command_faults import AwayFault, ExitCode, NotFoundFault, RefusedFault, UsageFault

_BACKEND = Path(__file__).resolve().parents[2] / "backend" / "dataflix_backend"


class Flaky(BaseHTTPRequestHandler):
    """Breaks off the first requests, then answers."""

    broken = 0
    busy = 0
    content: bytes | None = None
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.seen.append((self.command, self.headers["Idempotency-Key"]))
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if len(self.seen) <= self.broken:
            self.close_connection = True
            return
        body = json.dumps({"token": self.headers["Authorization"]}).encode()
        body = body if self.content is None else self.content
        self.send_response(503 if len(self.seen) <= self.busy else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def handler() -> type[Flaky]:
    return type("Handler", (Flaky,), {"seen": []})


@pytest.fixture
def api(handler: type[Flaky]) -> Iterator[Api]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client = Api(config.resolve({"api_url": url, "token": "t"}, {}, {}, {}))
        yield client
        client.close()
        server.shutdown()
        thread.join()


def test_the_token_is_sent(api: Api) -> None:
    assert api.get("/x") == {"token": "Bearer t"}


def test_a_post_that_broke_off_is_sent_again_with_the_same_key(api: Api, handler: type[Flaky]) -> None:
    handler.broken = 2
    api.post("/x", {"a": 1})
    assert len(handler.seen) == 3
    assert len({key for _, key in handler.seen}) == 1
    api.post("/x", {"a": 1})
    assert handler.seen[3][1] != handler.seen[0][1]


def test_a_delete_that_broke_off_is_not_sent_again(api: Api, handler: type[Flaky]) -> None:
    handler.broken = 1
    with pytest.raises(AwayFault, match="does not answer"):
        api.delete("/x")
    assert [method for method, _ in handler.seen] == ["DELETE"]


def test_a_busy_server_is_asked_again(api: Api, handler: type[Flaky]) -> None:
    handler.busy = 2
    assert api.get("/x")
    assert len(handler.seen) == 3


def test_an_api_that_is_away_says_how_to_start_it(api: Api, handler: type[Flaky]) -> None:
    handler.broken = 9
    with pytest.raises(AwayFault) as told:
        api.get("/x")
    assert told.value.code is ExitCode.AWAY
    assert "./run.sh" in told.value.hint
    assert len(handler.seen) == 3


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"Retry-After": "2"}, 2.0),
        (429, {"Retry-After": "0"}, 0.0),
        (429, {"Retry-After": "60"}, None),
        (503, {}, None),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (200, {"Retry-After": "1"}, None),
    ],
)
def test_how_long_to_wait_for_a_busy_server(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(httpx.Response(status, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 2), (401, 5), (403, 5), (404, 3), (409, 1), (413, 1), (422, 2), (429, 4), (500, 1), (503, 4)],
)
def test_a_problem_becomes_an_exit_code(status: int, code: int) -> None:
    request = httpx.Request("GET", "http://a/x")
    fault = fault_of(httpx.Response(status, json={"detail": "so it is"}, request=request))
    assert (fault.code, fault.message) == (code, "so it is")
    assert fault.plain()["error"]["status"] == status


def test_what_is_no_problem_document_is_another_server() -> None:
    request = httpx.Request("GET", "http://a/x")
    for content in (b"<html>", b"[]", b"{}"):
        fault = fault_of(httpx.Response(404, content=content, request=request))
        assert isinstance(fault, AwayFault)
        assert not isinstance(fault, NotFoundFault)


@pytest.mark.parametrize("module", ["users", "movies", "feedback"])
def test_what_the_api_advises_is_said_in_commands(module: str) -> None:
    source = (_BACKEND / f"{module}.py").read_text("utf-8")
    details = re.findall(r'f?"([^"]*GET /[^"]*)"', source.replace("{{", "{").replace("}}", "}"))
    assert details
    for listed in ("ratings", "watched"):
        for detail in details:
            problem = {"detail": detail.replace("{listed}", listed)}
            told = fault_of(httpx.Response(404, json=problem)).message
            assert "dataflix " in told
            assert "GET" not in told


def test_a_page_of_another_server_is_no_answer(api: Api, handler: type[Flaky]) -> None:
    for handler.content in (b"<!doctype html>", b"[]", b""):
        with pytest.raises(AwayFault, match=r"/x answered without a document of JSON") as told:
            api.get("/x")
        assert "is that the API of Dataflix?" in told.value.hint
    with pytest.raises(AwayFault, match=r"/x answered without a document of JSON"):
        api.post("/x", {})


def test_a_refused_token_says_where_to_set_it() -> None:
    request = httpx.Request("GET", "http://a/x")
    fault = fault_of(httpx.Response(401, json={"detail": "no"}, request=request))
    assert isinstance(fault, RefusedFault)
    assert "DATAFLIX_BACKEND_TOKEN" in fault.hint


def test_validation_errors_are_a_line_each() -> None:
    errors = {"json": {"rating": ["too much", "odd"], "a": {"b": ["c"]}}, "query": {"n": ["d"]}}
    assert list(validation_errors(errors)) == ["rating: too much", "rating: odd", "a.b: c", "n: d"]
    assert list(validation_errors(None)) == []


@pytest.mark.parametrize(
    ("url", "variable", "value"),
    [
        ("https://dataflix.example", "all_proxy", "socks5h://127.0.0.1:1"),
        ("https://dataflix.example", "no_proxy", "[::1]"),
        ("http://[::1", "no_proxy", ""),
    ],
)
def test_an_address_or_a_proxy_that_cannot_be_used_is_told(
    url: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageFault, match="cannot be asked") as caught:
        Api(config.resolve({"api_url": url}, {}, {}, {}))
    assert variable in caught.value.hint
