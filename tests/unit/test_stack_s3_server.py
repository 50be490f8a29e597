"""How the S3 store is built and started."""

import threading
from pathlib import Path

import pytest

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack import s3_server
from dataflix_stack.paths import Layout


@pytest.mark.parametrize(
    ("version", "enough"),
    [("go1.26.8", True), ("go1.25.0", True), ("go1.25", False), ("go1.24.11", False), ("", False)],
)
def test_an_old_go_is_not_used(version: str, *, enough: bool) -> None:
    assert s3_server.is_new_enough(version, "1.25.0") is enough


def test_the_pinned_sums_decide_about_the_folder() -> None:
    program = s3_server.program()
    assert program.name == "versitygw"
    assert program == s3_server.program()
    assert "github.com/versity/versitygw v1.8.0 h1:" in (s3_server.sources() / "go.sum").read_text()


def test_a_failed_build_leaves_nothing_and_says_what_go_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.99.1 || { echo no network; exit 1; }\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setattr(s3_server, "program", lambda: tmp_path / "servers" / "versitygw-x" / "versitygw")
    with pytest.raises(Fault, match="no network"):
        s3_server.build(tmp_path / "log", threading.Event())
    assert not s3_server.program().exists()


def test_the_store_listens_where_the_settings_say_and_hides_its_login() -> None:
    settings = Settings.model_validate({"bind": "127.0.0.2", "s3_port": 19002, "s3_secret_key": "the-secret"})
    arguments = s3_server.command(settings, Layout(Path("/data")), sidecar=False)
    assert "--port=127.0.0.2:19002" in arguments
    assert arguments[-1] == "/data/s3/buckets"
    assert not any("the-secret" in one or "sidecar" in one for one in arguments)


def test_metadata_stays_where_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    monkeypatch.setattr(s3_server, "has_attributes", lambda _: False)
    assert s3_server.prepare(layout)
    monkeypatch.setattr(s3_server, "has_attributes", lambda _: True)
    assert s3_server.prepare(layout)
    assert f"--sidecar={layout.s3 / 'metadata'}" in s3_server.command(Settings(), layout, sidecar=True)


def test_metadata_is_in_attributes_where_they_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_server, "has_attributes", lambda _: True)
    assert not s3_server.prepare(Layout(tmp_path))
    monkeypatch.setattr(s3_server, "has_attributes", lambda _: False)
    assert not s3_server.prepare(Layout(tmp_path))
