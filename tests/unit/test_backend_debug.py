"""FLASK_DEBUG is for the backend's log: it never changes how a request is served."""

import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest
import structlog

from dataflix_backend import api_server, problems
from dataflix_backend.api_server import create_app
from dataflix_backend.request_handling import Context
from dataflix_contract import Settings


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("dataflix_backend")
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_exported_flask_debug_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = create_app(Context(Settings(flask_debug=True), cast("Any", None), cast("Any", None), 0))
    assert not app.debug
    assert not app.testing


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("debug", [True, False])
def test_debug_shows_the_calls_that_led_to_a_failure_and_no_value(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    api_server._configure_logging(Settings(flask_debug=debug))
    fresh = structlog.get_logger("dataflix_backend.problems")  # loggers keep the level of their first use
    app = create_app(Context(Settings(), cast("Any", None), cast("Any", None), 0))
    with pytest.MonkeyPatch.context() as patch, app.test_request_context("/users"):
        patch.setattr(problems, "log", fresh)
        with pytest.raises(ValueError, match="secret") as caught:
            int("a secret of the client")
        answer = problems._of_fault(caught.value)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert answer.status_code == 500
    assert [line["level"] for line in lines] == ["error", "debug"][: 1 + debug]
    assert "secret" not in json.dumps(lines)
    assert not logging.getLogger("urllib3").isEnabledFor(logging.DEBUG)
    if debug:
        assert lines[1]["calls"]
