"""Write the servers' configuration for their containers.

``python -m dataflix_stack.compose FOLDER KAFKA_HOST`` is run by the service ``config`` of docker-compose.yml
before any server starts. The templates are those of the native way; the settings are the containers' own,
where a host is a service's name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_stack.clickhouse_server import render_container_config
from dataflix_stack.paths import Layout
from dataflix_stack.server_config import InContainers, server_files

#: Where each server's container has its own part of what is rendered.
INSIDE = Layout(Path("/var/lib/dataflix"))


def render(settings: Settings, inside: InContainers) -> dict[str, dict[Path, str]]:
    """Each server's configuration: text by path in its container, by service.

    Raises:
        Fault: a setting cannot be used in containers.
    """
    if inside.kafka_published_port in {settings.kafka_port, settings.kafka_controller_port}:
        raise Fault(
            f"port {inside.kafka_published_port} is taken inside Kafka's container: set DATAFLIX_KAFKA_PORT"
            " or DATAFLIX_KAFKA_CONTROLLER_PORT to another one"
        )
    return {
        **server_files(settings, INSIDE, inside),
        "clickhouse": render_container_config(settings, INSIDE.conf),
    }


def write(rendered: Mapping[str, Mapping[Path, str]], folder: Path) -> None:
    """Write each service's files below ``folder/SERVICE``; only that service's container sees them."""
    for service, texts in rendered.items():
        for path, text in texts.items():
            target = folder / service / path.relative_to(INSIDE.conf)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)


def main(arguments: list[str]) -> int:
    """Entry point: 0 when everything is written."""
    if len(arguments) != len(("FOLDER", "KAFKA_HOST")):
        sys.stderr.write("usage: python -m dataflix_stack.compose FOLDER KAFKA_HOST\n")
        return 2
    folder, kafka_host = arguments
    try:
        write(render(load_settings(), InContainers(kafka_host)), Path(folder))
    except (Fault, SettingsError, OSError) as fault:
        sys.stderr.write(f"config: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
