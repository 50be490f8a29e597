"""Who may look into Kafka: pages of the Kafka UI itself, under its own names."""

import pytest

from dataflix_contract import Settings
from dataflix_kafka_ui.terminal_server import allowed_hosts, refusal

ALLOWED = allowed_hosts(Settings(kafka_ui_host="kafka.internal"))
OURS = "127.0.0.1:8081"


@pytest.mark.parametrize("host", [OURS, "localhost:8081", "[::1]:8081", "kafka.internal", "LOCALHOST"])
def test_its_own_names_are_answered(host: str) -> None:
    assert refusal(ALLOWED, host, None, socket=False) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "", "127.0.0.1.evil.example"])
def test_a_name_that_somebody_else_pointed_here_is_refused(host: str) -> None:
    assert refusal(ALLOWED, host, None, socket=False)


def test_its_own_page_gets_a_terminal() -> None:
    assert refusal(ALLOWED, OURS, f"http://{OURS}", socket=True) is None


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "http://127.0.0.1:5002", "http://127.0.0.1:8081.evil.example"],
)
def test_no_other_page_gets_a_terminal(origin: str | None) -> None:
    assert refusal(ALLOWED, OURS, origin, socket=True)


def test_no_other_page_gets_a_record() -> None:
    assert refusal(ALLOWED, OURS, "http://evil.example", socket=False)
