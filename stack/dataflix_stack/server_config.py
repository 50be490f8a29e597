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
from pydantic import SecretStr

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
#: The settings that only a training reads.
_OF_A_TRAINING = {"stars_model", "trainer", "spark_master", "spark_secret"}


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
class InContainers:
    """The differences in the configuration of servers in containers.

    Attributes:
        kafka_host: the host at which clients outside the containers find Kafka.
        kafka_published_port: the port inside the container at which such clients arrive.
        kafka_logs: the image's folder for Kafka's segments.
        plugin_path: the image's folder of Kafka Connect's plugins.
        postgres_socket: the folder of the socket by which the image makes the cluster.
    """

    kafka_host: str
    kafka_published_port: int = 19092
    kafka_logs: str = "/var/lib/kafka/data/logs"
    plugin_path: str = "/kafka/connect"
    postgres_socket: str = "/var/run/postgresql"


def server_files(
    settings: Settings, layout: Layout, inside: InContainers | None = None
) -> dict[str, dict[Path, str]]:
    """Render each server's configuration files: text by path, by service.

    Args:
        settings: the stack's settings, as the servers see them.
        layout: the stack's folders, as the servers see them.
        inside: the differences in containers; None: the servers run without containers.
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
    """The folder of Kafka's segments."""
    return layout.kafka / "logs"


def allowed_networks(bind: str) -> list[str]:
    """The networks whose clients PostgreSQL lets log in: this machine, or all if it listens elsewhere."""
    try:
        local = ipaddress.ip_address(bind).is_loopback
    except ValueError:  # a host name
        local = bind == "localhost"
    return ["127.0.0.1/32", "::1/128"] if local else ["0.0.0.0/0", "::/0"]


def settings_of_servers(settings: Settings) -> str:
    """The settings that a server without files of its own may have read when it started, as JSON.

    Each training reads its own settings anew, so that no server is restarted when they change.
    """
    read = settings.model_dump(exclude=_OF_A_TRAINING)
    return json.dumps({name: _plain(value) for name, value in read.items()}, sort_keys=True)


def _plain(value: object) -> str:
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def launch_spec(service: Service, layout: Layout) -> str:
    """The JSON file for ``launch``: the process's command, folder, environment and account."""
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
    """The service as the supervisor's program; if one of the texts ``decides`` changes, it is restarted."""
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
    """A digest of the files of a package, of Dataflix's packages that it needs, and of the lock files.

    Args:
        root: the checkout.
        package: the package's folder in it; empty for a service without Dataflix's code: the digest is empty.
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
    """The package's files in a fixed order, without compiled ones."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path
