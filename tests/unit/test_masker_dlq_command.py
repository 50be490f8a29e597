"""``dataflix-dlq`` says how it wants to be used, and what to do when Kafka is away."""

import pytest
from typer.testing import CliRunner

from dataflix_stream_processors.dlq_command import app


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLIX_KAFKA_PORT", "1")


@pytest.mark.parametrize("arguments", [["replay"], ["replay", "--all", "--id", "1:2"]])
def test_replay_wants_one_or_all(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "--id ID or --all" in done.stderr


def test_a_bad_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLIX_MASKING_KEY", "tooshort")
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 1
    assert "DATAFLIX_MASKING_KEY" in done.stderr
    assert "tooshort" not in done.output
