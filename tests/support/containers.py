"""What docker-compose.yml says, and what the native way says, as plain values that can be compared.

Facts are texts by name, the same names on both sides; ``differences`` puts the two side by side. Nothing here
needs a container engine, and everything takes texts, so that a test can compare a changed copy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import SecretStr

from dataflix_contract import Settings
from dataflix_contract.settings import ENV_PREFIX
from dataflix_stack import s3_server, servers
from dataflix_stack.paths import Layout
from dataflix_stack.servers import Servers
from dataflix_stack.services import Service, ServiceContext, services
from dataflix_stack.steps import SetUp, set_ups
from support.stack import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"
#: The stack's folder, as a container sees it.
INSIDE = Layout(Path("/var/lib/dataflix"))
#: What is in docker-compose.yml and has no counterpart among the native services and set-up programs.
CONTAINERS_ONLY = {"config", "kafka-format", "cli"}
#: Facts that are meant to differ: natively the Kafka UI is another program, and not in the core. In
#: containers it is, because it is what the set-up programs are waited for by.
MEANT_TO_DIFFER = {"kafka-ui: program", "kafka-ui: profiles"}
#: How the names of the images begin that are built here.
OUR_IMAGES = "dataflix/"
#: Read by nobody in a container: Kafka's own listener for itself.
_PRIVATE_PORTS = {"DATAFLIX_KAFKA_CONTROLLER_PORT"}

_REFERENCE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")

Facts = dict[str, str]


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + field.upper()


def plain(value: object) -> str:
    """A setting's value as .env has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as variables."""
    return {variable(name): plain(value) for name, value in settings}


# --- docker-compose.yml


def references(text: str) -> Iterator[tuple[str, str | None]]:
    """Each variable that the text refers to, with its default."""
    for found in _REFERENCE.finditer(text):
        if found["name"]:
            yield found["name"], found["default"]


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in, as Compose does: ``${NAME:-default}``, and ``$$`` for a dollar."""

    def value(found: re.Match[str]) -> str:
        return (variables.get(found["name"]) or found["default"] or "") if found["name"] else "$"

    return _REFERENCE.sub(value, text)


@dataclass(frozen=True)
class Compose:
    """A parsed docker-compose.yml."""

    services: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, text: str, variables: Mapping[str, str]) -> Compose:
        """What the text says with these variables."""
        return cls(yaml.safe_load(interpolate(text, variables))["services"])

    @property
    def ours(self) -> dict[str, Mapping[str, Any]]:
        """The services whose images are built here."""
        return {
            name: service
            for name, service in self.services.items()
            if service["image"].startswith(OUR_IMAGES)
        }

    def target(self, name: str) -> str:
        """The Dockerfile's target for a service's image; another service may be the one that builds it."""
        image = self.services[name]["image"]
        (build,) = (
            one["build"] for one in self.services.values() if one["image"] == image and "build" in one
        )
        return str(build["target"])

    def requirements(self, name: str) -> set[str]:
        """The services that a service waits for, directly or not."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for other in self.services[waiting.pop()].get("depends_on", {}):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found


def command_of(service: Mapping[str, Any]) -> list[str]:
    """What a container executes: entry point and arguments."""
    return [*service.get("entrypoint", []), *service.get("command", [])]


def compose_facts(text: str, settings: Settings) -> Facts:
    """What docker-compose.yml says."""
    compose = Compose.of(text, environment(settings))
    named = {name: one for name, one in compose.services.items() if name not in CONTAINERS_ONLY}
    facts = {}
    for name, service in named.items():
        facts[f"{name}: profiles"] = " ".join(sorted(service["profiles"]))
        facts[f"{name}: program"] = _program(command_of(service))
        if service.get("restart") == "unless-stopped":
            facts[f"{name}: ports"] = " ".join(
                sorted(port.split(":")[1] for port in service.get("ports", []))
            )
            facts[f"{name}: addresses"] = " ".join({port.split(":")[0] for port in service.get("ports", [])})
            facts[f"{name}: stop"] = f"{service.get('stop_signal', 'SIGTERM')} {service['stop_grace_period']}"
        facts |= _java_facts(name, service.get("environment", {}))
    return facts | _image_versions(compose)


def _program(command: Sequence[str]) -> str:
    """A command by its program's name; Kafka's script stands for Java with Kafka's class path."""
    if not command:
        return "the image's own"
    first, *rest = command
    words = rest if first.endswith("/kafka-run-class.sh") else [Path(first).name, *rest]
    return " ".join(words)


def _java_facts(name: str, variables: Mapping[str, str]) -> Facts:
    if "KAFKA_HEAP_OPTS" not in variables:
        return {}
    given = f"{variables['KAFKA_HEAP_OPTS']} {variables['KAFKA_JVM_PERFORMANCE_OPTS']}"
    return {f"{name}: Java's options": given, f"{name}: log": _file_name(variables["KAFKA_LOG4J_OPTS"])}


def _file_name(option: str) -> str:
    name, _, path = option.partition("=")
    return f"{name}={Path(path).name}"


def _image_versions(compose: Compose) -> Facts:
    tags = {name: one["image"].rpartition(":")[2] for name, one in compose.services.items()}
    return {
        "version: PostgreSQL": tags["postgres"].partition("-")[0],
        "version: Kafka": tags["kafka"],
        "version: Kafka's tools": tags["kafka-format"],
        "version: Debezium": tags["connect"],
        "version: ClickHouse": ".".join(tags["clickhouse"].split(".")[:2]),
        "version: versitygw": tags["s3"],
        **{f"version: image of {name}": tags[name] for name in compose.ours if name != "s3"},
    }


# --- The native way


def native_services(settings: Settings) -> list[Service]:
    """The services as the native way describes them, with a container's folders."""
    around = ServiceContext(settings, INSIDE, Servers(Path("/servers")), None, Path("/bin").joinpath, {})
    return services(around)


def _native(settings: Settings) -> list[Service | SetUp]:
    """Its services and its set-up programs."""
    return [*native_services(settings), *set_ups(settings)]


def native_facts(settings: Settings) -> Facts:
    """What the native way says."""
    core = settings.model_copy(update={"profile": "core"})
    in_core = {one.name for one in _native(core)}
    facts = {}
    for one in _native(settings):
        facts[f"{one.name}: profiles"] = "core full" if one.name in in_core else "full"
        facts[f"{one.name}: program"] = _native_program(one.name, one.argv, settings)
    for one in native_services(settings):
        ports = [str(port.number) for port in one.ports if port.setting not in _PRIVATE_PORTS]
        facts[f"{one.name}: ports"] = " ".join(sorted(ports))
        facts[f"{one.name}: addresses"] = settings.bind if ports else ""
        facts[f"{one.name}: stop"] = f"SIG{one.stop_signal} {one.stop_seconds}s"
        facts |= _native_java(one)
    return facts | _native_versions(settings)


def _native_program(name: str, argv: Sequence[str], settings: Settings) -> str:
    if name == "postgres":
        argv = [argv[0], argv[-1]]  # the image knows the cluster's folder by a variable
    if name == "clickhouse":  # natively the same engine is a library, in a process of ours
        return f"clickhouse server --config-file={INSIDE.conf}/config.xml"
    if name == "s3":
        listening = settings.model_copy(update={"bind": "0.0.0.0"})
        inside, outside = (s3_server.command(one, INSIDE, sidecar=False) for one in (listening, settings))
        told = ("--webui-gateways", "--cors-allow-origin")
        return _program([b if b.startswith(told) else a for a, b in zip(inside, outside, strict=True)])
    if "-cp" in argv:
        argv = argv[list(argv).index("-cp") + 2 :]
    return _program([Path(argv[0]).name, *argv[1:]])


def _native_java(one: Service) -> Facts:
    if "-cp" not in one.argv:
        return {}
    given = one.argv[1 : list(one.argv).index("-cp")]
    options = " ".join(word for word in given if not word.startswith("-D") or "java.awt" in word)
    [log] = [word for word in given if word.startswith("-Dlog4j2")]
    return {f"{one.name}: Java's options": options, f"{one.name}: log": _file_name(log)}


def _native_versions(settings: Settings) -> Facts:
    jars = {jar.artefact: jar.version for jar in servers.parse_lock(servers.lock_text())}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["stack"]
    [engine] = [one for one in extra if one.startswith("chdb-core==")]
    go = (ROOT / "stack/versitygw/go.mod").read_text(encoding="utf-8")
    [versitygw] = re.findall(r"github\.com/versity/versitygw v(\S+)", go)
    [postgres] = {jars[artefact] for artefact in servers.POSTGRES_ARTEFACTS.values()}
    ours = Compose.of(COMPOSE_FILE.read_text(encoding="utf-8"), environment(settings)).ours
    return {
        "version: PostgreSQL": postgres.removesuffix(".0"),
        "version: Kafka": jars["kafka_2.13"],
        "version: Kafka's tools": jars["kafka_2.13"],
        "version: Debezium": jars["debezium-connector-postgres"],
        "version: ClickHouse": ".".join(engine.partition("==")[2].split(".")[:2]),
        "version: versitygw": versitygw,
        **{f"version: image of {name}": project["version"] for name in ours if name != "s3"},
    }


# --- Side by side


def differences(native: Facts, containers: Facts) -> list[str]:
    """A sentence for each fact that is not the same on both sides."""
    return [
        f"{name}: natively {native.get(name, 'nothing')!r}, in containers {containers.get(name, 'nothing')!r}"
        for name in sorted((native.keys() | containers.keys()) - MEANT_TO_DIFFER)
        if native.get(name) != containers.get(name)
    ]


def order_faults(text: str, settings: Settings) -> list[str]:
    """Where a container would start before something that the native way waits for."""
    compose = Compose.of(text, environment(settings))
    built = {"versitygw"}  # in a container it is a part of the image
    faults = []
    for one in _native(settings):
        missing = set(one.needs) - built - compose.requirements(one.name)
        faults += [f"{one.name} does not wait for {other}" for other in sorted(missing)]
    for name, service in compose.services.items():
        for other, how in service.get("depends_on", {}).items():
            ends = compose.services[other]["restart"] == "no"
            wanted = "service_completed_successfully" if ends else "service_healthy"
            if how["condition"] != wanted:
                faults.append(f"{name} waits for {other} by {how['condition']}")
    return faults


def default_faults(text: str) -> list[str]:
    """Where the text names a variable that is no setting, or gives one another default than the settings."""
    defaults = {variable(name): plain(field.default) for name, field in Settings.model_fields.items()}
    faults = []
    for name, default in references(text):
        if name not in defaults:
            faults.append(f"{name} is no setting")
        elif default != defaults[name]:
            faults.append(f"{name} has the default {default!r}, and {defaults[name]!r} in the settings")
    return faults
