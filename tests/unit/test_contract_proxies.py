"""Proxies: the stack's own hosts are reached without one, whatever the shell exports."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import clickhouse_connect.driver.httputil as clickhouse
import httpx
import pytest
import requests.utils

from dataflix_contract import load_settings
from dataflix_contract.proxies import no_proxy_value

_PROXY = "http://proxy.invalid:3128"
_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A shell that exports a proxy and nothing else about proxies."""
    (tmp_path / "settings").write_text("DATAFLIX_POSTGRES_HOST=db.example\nDATAFLIX_BIND=10.9.8.7\n")
    monkeypatch.setenv("DATAFLIX_ENV_FILE", str(tmp_path / "settings"))
    for name in _VARIABLES:
        for spelt in (name, name.upper()):
            # set first, so that what the settings make of it is undone after the test, too
            monkeypatch.setenv(spelt, _PROXY)
            if name == "no_proxy":
                monkeypatch.delenv(spelt)
    return monkeypatch


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "db.example", "10.9.8.7"])
@pytest.mark.parametrize("given", ["", "corp.example", "[::1], corp.example"])
def test_every_library_leaves_the_hosts_of_the_settings_out_of_a_proxy(
    shell: pytest.MonkeyPatch, host: str, given: str
) -> None:
    if given:
        shell.setenv("no_proxy", given)
    load_settings()
    assert requests.utils.should_bypass_proxies(f"http://{host}:8123/", None)
    assert urllib.request.proxy_bypass(f"{host}:8123")
    assert clickhouse.check_env_proxy("http", host, 8123) is None
    with httpx.Client() as client:
        direct = client._transport
        assert client._transport_for_url(httpx.URL(f"http://{host}:8123/")) is direct
        assert client._transport_for_url(httpx.URL("http://elsewhere.example/")) is not direct


@pytest.mark.usefixtures("shell")
def test_what_is_elsewhere_still_goes_through_the_proxy() -> None:
    load_settings()
    assert urllib.request.getproxies()["https"] == _PROXY
    assert not requests.utils.should_bypass_proxies("https://repo1.maven.org/", None)


def test_exceptions_of_the_shell_are_kept_under_both_names(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("no_proxy", "one.example,.two.example")
    shell.setenv("NO_PROXY", "one.example, three.example")
    load_settings()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert os.environ["no_proxy"].startswith(
        "one.example,.two.example,three.example,127.0.0.1,localhost,::1,"
    )
    once = os.environ["no_proxy"]
    load_settings()
    assert os.environ["no_proxy"] == once


def test_an_asterisk_stays_alone() -> None:
    assert no_proxy_value({"no_proxy": "*"}, ["db.example"]) == "*"
    assert no_proxy_value({"NO_PROXY": "one.example,*"}, ["db.example"]) == "*"


def test_a_socks_proxy_does_not_keep_httpx_from_working(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("all_proxy", "socks5h://proxy.invalid:1080")
    shell.setenv("ALL_PROXY", "socks5h://proxy.invalid:1080")
    load_settings()
    httpx.Client().close()


@pytest.mark.usefixtures("shell")
def test_a_process_that_is_started_later_has_it_too() -> None:
    load_settings()
    asked = "import urllib.request; print(urllib.request.proxy_bypass('db.example'))"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True).strip() in {"1", "True"}
