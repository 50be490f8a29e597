"""The Kafka UI: what a person sees of a topic, who may look, and what is left afterwards."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import httpx
import psutil
import pytest
from playwright.sync_api import Browser

from dataflix_contract import Settings
from dataflix_stack.paths import console_script
from support.browser import Watched, running_browser, watched_page
from support.stack import Stack
from support.waiting import wait_until

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    with watched_page(browser, viewport={"width": 1200, "height": 700}) as watched:
        yield watched


def open_topic(watched: Watched, settings: Settings, topic: str) -> None:
    """Go from the list to a topic, and wait until its terminal shows something."""
    watched.page.goto(settings.kafka_ui_url)
    watched.page.get_by_role("link", name=topic).click()
    watched.page.wait_for_selector("body.-first-byte", timeout=60_000)


def received(watched: Watched) -> list[bytes]:
    """What the terminals of the page will have been sent."""
    frames: list[bytes] = []

    def keep(frame: bytes | str) -> None:
        frames.append(frame if isinstance(frame, bytes) else frame.encode())

    watched.page.on("websocket", lambda opened: opened.on("framereceived", keep))
    return frames


def shown(watched: Watched, frames: list[bytes], text: bytes) -> bool:
    """Whether the terminal has shown the text by now."""
    watched.page.wait_for_timeout(100)  # playwright hands out events only while it is asked something
    return text in b"".join(frames)


def terminals(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_topic_is_two_clicks_away_and_its_terminal_ends_with_the_page(
    watched: Watched, stack: Stack
) -> None:
    pid = stack.pid("kafka-ui")
    frames = received(watched)
    open_topic(watched, stack.settings, "masked.ratings")
    wait_until(lambda: shown(watched, frames, b"'movie_"), "records are shown")
    assert len(terminals(pid)) == 1
    assert watched.faults == []
    watched.page.close()
    wait_until(lambda: not terminals(pid), "the terminal has ended")


def test_the_overview_has_every_topic_and_changes_none(watched: Watched, settings: Settings) -> None:
    frames = received(watched)
    open_topic(watched, settings, "All topics: partitions, settings, consumer groups")
    wait_until(lambda: shown(watched, frames, b"masker.dead_letters"), "topics are shown")
    # these would create, edit and delete a topic; what / opens afterwards shows that the keys were read
    for key in ("n", "e", "Control+d"):
        watched.page.keyboard.press(key)

    watched.page.keyboard.press("/")
    wait_until(lambda: shown(watched, frames, b"Filter Topics"), "the filter is open")
    assert not [change for change in (b"Create", b"Edit", b"Delete") if change in b"".join(frames)]
    assert watched.faults == []


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"Host": "evil.example"}, "/"),
        (UPGRADE | {"Origin": "http://evil.example"}, "/ws/cdc.public.users"),
        (UPGRADE, "/ws/cdc.public.users"),
    ],
)
def test_other_sites_get_nothing(settings: Settings, changed: dict[str, str], path: str) -> None:
    answer = httpx.get(f"{settings.kafka_ui_url}{path}", headers=changed, trust_env=False, timeout=30)
    assert answer.status_code == 403


def test_what_is_no_topic_starts_nothing(settings: Settings) -> None:
    answer = httpx.get(f"{settings.kafka_ui_url}/topics/--%20x;id", trust_env=False, timeout=30)
    assert answer.status_code == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_terminals_end_with_the_server(
    watched: Watched, settings: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("DATAFLIX_KAFKA_UI_PORT", str(port))
    own = settings.model_copy(update={"kafka_ui_port": port})
    server = subprocess.Popen([console_script("dataflix-kafka-ui")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(own), "the server answers")
        open_topic(watched, own, "masked.users")
        [terminal] = terminals(server.pid)
        os.kill(server.pid, number)
        assert server.wait(20) == (0 if number == signal.SIGTERM else -number)
        wait_until(lambda: not terminal.is_running(), "the terminal has ended", seconds=20)
    finally:
        server.kill()
        server.wait()


def answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.kafka_ui_url}/health/live", trust_env=False).is_success
    except httpx.TransportError:
        return False
