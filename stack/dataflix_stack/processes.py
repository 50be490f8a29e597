"""The records that ``launch`` leaves: which process serves as what, and ending what was orphaned."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import psutil

from dataflix_stack.launch import end_family, identity

SUPERVISOR = "supervisord"
_GRACE_SECONDS = 20


def recorded(folder: Path, name: str) -> int | None:
    """The process that serves as ``name``, if it is still that one and alive."""
    try:
        entry = json.loads((folder / f"{name}.process.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    alive = entry["identity"] is not None and identity(entry["pid"]) == entry["identity"]
    return int(entry["pid"]) if alive else None


def all_recorded(folder: Path) -> dict[str, int]:
    """Every recorded process that is alive, by name, without the supervisor."""
    found = {name: recorded(folder, name) for name in _names(folder)}
    return {name: pid for name, pid in found.items() if pid is not None}


def _names(folder: Path) -> list[str]:
    """Every service that was ever started here."""
    names = [path.name.removesuffix(".process.json") for path in folder.glob("*.process.json")]
    return [name for name in names if name != SUPERVISOR]


def make_way(pid: int, nice: int) -> None:
    """Let a process that was just started make way for others, further than we do ourselves."""
    if nice:
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid) + nice)


def mark(folder: Path, name: str) -> str:
    """What ``launch`` marks the processes of service ``name`` with."""
    return f"{folder}/{name}"


def stop_recorded(folder: Path, tell: Callable[[str], None]) -> None:
    """End the servers that a killed supervisor left behind: asked first, killed when they do not go."""
    _stop_servers(folder, tell)
    for name in _names(folder):
        end_family(mark(folder, name))


def _stop_servers(folder: Path, tell: Callable[[str], None]) -> None:
    orphans = [psutil.Process(pid) for pid in all_recorded(folder).values() if psutil.pid_exists(pid)]
    if not orphans:
        return
    tell(f"stopping {len(orphans)} servers that a killed supervisor left behind")
    for orphan in orphans:
        _ask(orphan)
    _, stubborn = psutil.wait_procs(orphans, timeout=_GRACE_SECONDS)
    for orphan in stubborn:
        _kill(orphan)
    psutil.wait_procs(stubborn, timeout=_GRACE_SECONDS)


def _ask(process: psutil.Process) -> None:
    """SIGTERM; for PostgreSQL, where that means to wait for every client, SIGINT."""
    try:
        if process.name() == "postgres":
            process.send_signal(2)
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
