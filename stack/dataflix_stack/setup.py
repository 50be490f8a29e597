"""The set-up programs of the other packages: schemas, topics, warehouse, connector, sample data, bucket."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack.launch import make_way
from dataflix_stack.paths import console_script
from dataflix_stack.services import BATCH_NICE, masker_names

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SetUp:
    """One program that brings something up to date; running it again changes nothing."""

    name: str
    argv: Sequence[str]
    needs: Sequence[str]
    nice: int = 0


def set_ups(settings: Settings) -> list[SetUp]:
    """The programs, in the order of a start."""
    stream = [
        SetUp("migrate", ["dataflix-migrate"], ["postgres"]),
        SetUp("topics", ["dataflix-connector", "topics"], ["kafka"]),
        SetUp("warehouse", ["dataflix-warehouse"], ["clickhouse", "topics"]),
        SetUp("register", ["dataflix-connector", "register"], ["connect", "migrate", "topics"]),
        SetUp("seed", ["dataflix-seed"], ["register", "warehouse", *masker_names(settings)]),
    ]
    if settings.profile == "core":
        return stream
    return [
        *stream,
        SetUp("databases", ["dataflix-databases"], ["postgres"]),
        SetUp("airflow-migrate", ["dataflix-airflow", "migrate"], ["databases"], BATCH_NICE),
        SetUp("bucket", ["dataflix-mlflow", "bucket"], ["s3"], BATCH_NICE),
    ]


def run_set_up(one: SetUp, environment: Mapping[str, str], logs: Path, abandoned: threading.Event) -> None:
    """Run it to its end, its words in a log of its own.

    Raises:
        Fault: it failed; the message is what it said last.
    """
    program, *arguments = one.argv
    log = logs / f"{one.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(console_script(program)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
        make_way(process.pid, one.nice)
        while process.poll() is None:
            if abandoned.wait(_POLL_SECONDS):
                process.terminate()
                process.wait()
                return
    if process.returncode:
        raise Fault(f"{' '.join(one.argv)} failed with code {process.returncode}:\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
