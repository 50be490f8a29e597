"""A failure of ``docker compose`` is told with what to do about it."""

import pytest

from dataflix_contract import Settings
from dataflix_stack.compose_faults import explain, failed_services, published_ports
from support.containers import COMPOSE_FILE, Compose, environment

TEXT = COMPOSE_FILE.read_text(encoding="utf-8")

#: What engines print about an address that they cannot have.
REFUSED = {
    "taken by a container": "Bind for 127.0.0.1:{port} failed: port is already allocated",
    "taken by a process": "error starting proxy: listen tcp4 127.0.0.1:{port}: bind: address already in use",
    "newer words": "failed to bind host port for 127.0.0.1:{port}:172.18.0.2:1/tcp: address already in use",
    "newest words": "failed to bind host port 127.0.0.1:{port}/tcp: address already in use",
    "not allowed": "listen tcp4 127.0.0.1:{port}: bind: permission denied",
}


@pytest.mark.parametrize("words", REFUSED)
@pytest.mark.parametrize(("port", "environ"), [(9092, {}), (17002, {"DATAFLIX_KAFKA_PORT": "17002"})])
def test_a_port_that_cannot_be_had_is_named_with_its_service_and_setting(
    words: str, port: int, environ: dict[str, str]
) -> None:
    output = f"Error response from daemon: {REFUSED[words].format(port=port)}\n"
    [sentence] = explain(output, TEXT, environ)
    assert sentence.startswith(f"port {port} of kafka is taken or not permitted")
    assert "DATAFLIX_KAFKA_PORT" in sentence


def test_a_port_of_nobody_is_named_too() -> None:
    [sentence] = explain("Bind for 0.0.0.0:4711 failed: port is already allocated", TEXT, {})
    assert "port 4711" in sentence


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "docker system df"),
        ("OSError: [Errno 28] No space left on device", "docker system df"),
        ("toomanyrequests: You have reached your pull rate limit", "docker login"),
        ("dial tcp: lookup registry-1.docker.io on 127.0.0.53:53: no such host", "network"),
        ("python:3.11: failed to resolve source metadata for docker.io/library/python:3.11", "network"),
        ("error: Failed to fetch: dns error: failed to lookup address information", "network"),
        ("Temporary failure in name resolution", "network"),
    ],
)
def test_what_stopped_a_build_is_told(output: str, told: str) -> None:
    [sentence] = explain(f"#7 12.3 {output}\n", TEXT, {})
    assert told in sentence


def test_the_services_that_failed_are_named() -> None:
    output = """
dependency failed to start: container dataflix-second-kafka-ui-1 is unhealthy
service "migrate" didn't complete successfully: exit 1
container dataflix-second-masker-0-1 exited (1)
 Container dataflix-second-kafka-1  Healthy
"""
    assert failed_services(output, TEXT) == ["kafka-ui", "masker-0", "migrate"]
    assert explain(output, TEXT, {})[-1] == "scripts/compose logs migrate says more"


def test_an_output_that_says_nothing_is_not_explained() -> None:
    assert explain("exit status 1\n", TEXT, {}) == []


def test_every_published_port_is_found() -> None:
    published = {(port.service, port.number) for port in published_ports(TEXT, {})}
    services = Compose.of(TEXT, environment(Settings())).services
    wanted = {
        (name, int(port.split(":")[1])) for name, one in services.items() for port in one.get("ports", [])
    }
    assert published == wanted
