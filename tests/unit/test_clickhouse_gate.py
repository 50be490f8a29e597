"""Who may log in to the native ClickHouse server as ``default``."""

import base64
import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from dataflix_stack.clickhouse_gate import READER_SETTINGS, Gate, serve_gate


def basic(password: str, user: str = "default") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(url: str, authorization: str) -> tuple[int, bytes]:
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=10)
    connection.request("GET", target.path, headers={"Authorization": authorization})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_empty_password_is_the_engines_until_it_is_in() -> None:
    gate = Gate("clickhouse123")
    assert gate.settings_for(basic("")) == {}
    gate.engine_is_in()
    assert gate.settings_for(basic("")) is None


@pytest.mark.parametrize("password", ["clickhouse123", "a:b:c", "p<&'\"é日本", " ", "x" * 5000])
def test_the_password_lets_a_reader_in(password: str) -> None:
    gate = Gate(password)
    gate.engine_is_in()
    assert gate.settings_for(basic(password)) == READER_SETTINGS
    assert gate.settings_for(basic(password + "x")) is None
    assert gate.settings_for(basic(password, user="somebody")) is None


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer x", "Basic ZGVmYXVsdA=="])
def test_what_is_no_login_is_refused_even_before_the_engine_is_in(header: str) -> None:
    assert Gate("clickhouse123").settings_for(header) is None


def test_nobody_is_let_in_where_default_is_not_the_readers_name() -> None:
    gate = Gate(None)
    gate.engine_is_in()
    assert [gate.settings_for(basic(password)) for password in ("", "None", "clickhouse123")] == [None] * 3


def test_many_ask_at_once_and_only_at_the_secret_address() -> None:
    gate = Gate("clickhouse123")
    gate.engine_is_in()
    with serve_gate(gate) as url, ThreadPoolExecutor(32) as pool:
        right = pool.map(lambda _: ask(url, basic("clickhouse123")), range(200))
        wrong = pool.map(lambda _: ask(url, basic("wrong"))[0], range(200))
        assert set(right) == {(200, b'{"settings": {"readonly": "2"}}')}
        assert set(wrong) == {401}
        address = urlsplit(url)
        assert ask(f"http://{address.netloc}/", basic("clickhouse123"))[0] == 401
