"""Render the servers' configuration from the settings."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from dataflix_contract import Settings
from dataflix_contract.programs import folders
from dataflix_contract.schema import MAX_MESSAGE_BYTES
from dataflix_stack.paths import Layout
from dataflix_stack.services import PASSWORD_VARIABLE, Service

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("dataflix_stack"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # noqa: S701 - these are no web pages
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Program:
    """A service as the supervisor's configuration names it."""

    name: str
    command: str
    fingerprint: str
    priority: int
    stop_signal: str
    stop_seconds: int


@dataclass(frozen=True, slots=True)
class Inside:
    """How a server that is alone in a container differs from a process of this machine.

    Attributes:
        kafka_host: where those outside of the containers find Kafka.
        kafka_door: the port, inside, that they come in by.
        kafka_logs: where the image wants Kafka's segments.
        plugin_path: where the image has Kafka Connect's plugins.
        postgres_socket: the folder of the socket by which the image makes the cluster.
    """

    kafka_host: str
    kafka_door: int = 19092
    kafka_logs: str = "/var/lib/kafka/data/logs"
    plugin_path: str = "/kafka/connect"
    postgres_socket: str = "/var/run/postgresql"


def server_files(
    settings: Settings, layout: Layout, inside: Inside | None = None
) -> dict[str, dict[Path, str]]:
    """Each server's configuration files: text by path, by service.

    Args:
        settings: the stack's settings, as the servers see them.
        layout: the stack's folders, as the servers see them.
        inside: says how containers differ; None: there are none.
    """
    hba = layout.conf / "pg_hba.conf"
    log4j = {layout.conf / "log4j2.properties": _render("log4j2.properties", inside=inside)}
    return {
        "postgres": {
            layout.conf / "postgresql.conf": _render(
                "postgresql.conf", settings=settings, hba_file=str(hba).replace("'", "''"), inside=inside
            ),
            hba: _render(
                "pg_hba.conf", settings=settings, networks=allowed_networks(settings.bind), inside=inside
            ),
        },
        "kafka": {
            layout.conf / "kafka.properties": _render(
                "kafka.properties",
                settings=settings,
                log_dir=inside.kafka_logs if inside else kafka_log_dir(layout),
                message_bytes=MAX_MESSAGE_BYTES,
                inside=inside,
            ),
            **log4j,
        },
        "connect": {
            layout.conf / "connect.properties": _render(
                "connect.properties",
                settings=settings,
                password_variable=PASSWORD_VARIABLE,
                message_bytes=MAX_MESSAGE_BYTES,
                inside=inside,
            ),
            **log4j,
        },
    }


def kafka_log_dir(layout: Layout) -> Path:
    """Where Kafka keeps its segments."""
    return layout.kafka / "logs"


def allowed_networks(bind: str) -> list[str]:
    """Who PostgreSQL lets try a password: this machine, or everyone who reaches another address."""
    try:
        local = ipaddress.ip_address(bind).is_loopback
    except ValueError:  # a host name
        local = bind == "localhost"
    return ["127.0.0.1/32", "::1/128"] if local else ["0.0.0.0/0", "::/0"]


def launch_spec(service: Service, layout: Layout) -> str:
    """The file that ``launch`` reads: all that makes the process what it is."""
    spec: dict[str, Any] = {
        "name": service.name,
        "argv": list(service.argv),
        "cwd": str(service.cwd),
        "environment": dict(service.environment),
        "records": str(layout.run),
        "nice": service.nice,
    }
    if service.account:
        spec["account"] = asdict(service.account)
    if service.postgres_cluster:
        spec["postgres_cluster"] = str(service.postgres_cluster.resolve())
    return json.dumps(spec, indent=2)


def program(service: Service, python: str, spec_file: Path, decides: Iterable[str]) -> Program:
    """The service as a supervised program; ``decides`` are the texts whose change restarts it."""
    command = shlex.join([python, "-m", "dataflix_stack.launch", str(spec_file)])
    return Program(
        name=service.name,
        command=command.replace("%", "%%"),
        fingerprint=hashlib.sha256("\0".join(decides).encode()).hexdigest()[:16],
        priority=service.priority,
        stop_signal=service.stop_signal,
        stop_seconds=service.stop_seconds,
    )


def supervisor_file(programs: Iterable[Program], layout: Layout, socket: Path, user: str | None) -> str:
    """The supervisor's own configuration."""
    escaped: Mapping[str, str] = {
        name: str(path).replace("%", "%%")
        for name, path in {"logs": layout.logs, "run": layout.run, "socket": socket}.items()
    }
    return _render("supervisord.conf", programs=list(programs), user=user, **escaped)


def _render(name: str, **values: Any) -> str:
    return _templates.get_template(f"{name}.j2").render(values)


def digest_of(root: Path, package: str) -> str:
    """Changes when a file of the package does, or of those of ours that it is built on, or a lock.

    Args:
        root: the checkout.
        package: a folder in it; empty where no code of ours is run, and then so is the digest.
    """
    if not package:
        return ""
    digest = hashlib.sha256()
    sources = (path for folder in sorted(folders([package], root)) for path in _files(root / folder))
    for path in (*sources, *sorted(root.glob("requirements*.lock"))):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The package's files in a fixed order, without what Python makes of them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path
