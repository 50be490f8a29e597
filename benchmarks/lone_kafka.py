"""A Kafka of the benchmark's own: the installed one, configured as the stack's, empty, gone afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException

from dataflix_clients import kafka
from dataflix_clients.readiness import NOT_READY
from dataflix_contract import Settings
from dataflix_stack import data_folder, server_config
from dataflix_stack.paths import Layout
from dataflix_stack.servers import wanted_servers
from dataflix_stack.services import ServiceContext, services

_START_SECONDS = 60


@contextmanager
def lone_kafka() -> Iterator[str]:
    """Start a broker on free ports and yield its address.

    Raises:
        TimeoutError: it does not answer within a minute.
    """
    with tempfile.TemporaryDirectory(prefix="dataflix-benchmark-") as folder:
        port, controller = _free_ports()
        settings = Settings(kafka_port=port, kafka_controller_port=controller, data_dir=Path(folder))
        layout = Layout(Path(folder))
        data_folder.make_folders(layout, None)
        data_folder.write_files(server_config.server_files(settings, layout)["kafka"])
        installed = wanted_servers()
        data_folder.prepare_kafka(layout, installed)
        around = ServiceContext(settings, layout, installed, None, Path, {})
        service = next(one for one in services(around) if one.name == "kafka")
        with (layout.logs / "kafka.log").open("wb") as log:
            process = subprocess.Popen(service.argv, cwd=service.cwd, stdout=log, stderr=log, env=os.environ)
        try:
            _wait(settings)
            yield settings.kafka_bootstrap
        finally:
            process.terminate()
            process.wait(_START_SECONDS)


def _free_ports() -> list[int]:
    probes = [socket.socket() for _ in range(2)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait(settings: Settings) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return kafka.check(settings)
        except (*NOT_READY, KafkaException) as fault:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Kafka does not answer: {fault}") from fault
            time.sleep(0.2)
