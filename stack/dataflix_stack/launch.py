"""Become a server: ``python -m dataflix_stack.launch SPEC``, SPEC a file of JSON.

The supervisor starts this instead of the server itself, so that arguments and secrets need
no quoting in its configuration, each process leaves a record by which it is found again when
the supervisor was killed, and only the server runs as the account that it asks for.

It imports nothing but the standard library: it runs before every start.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def identity(pid: int) -> str | None:
    """What tells a process from another one that got its number later; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = fields.rpartition(")")[2].split()
    started = rest[18]  # field 22 of proc(5), in ticks since the boot
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return None if state == "Z" else f"{boot}:{started}"


def record(folder: Path, name: str, pid: int) -> None:
    """Write down which process serves as ``name``."""
    target = folder / f"{name}.process.json"
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps({"pid": pid, "identity": identity(pid)}), encoding="utf-8")
    partial.replace(target)


def forget_stale_postmaster(cluster: Path) -> None:
    """Remove a dead postmaster's lock file, whose process number may be another process's by now.

    PostgreSQL would refuse to start then. Its processes all work in the cluster's folder: while
    one is left, the file stays, and PostgreSQL's own check of the shared memory decides.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == cluster:
                return
        except OSError:  # gone meanwhile, or another account's: not PostgreSQL
            continue
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _become(account: dict[str, int]) -> None:
    os.setgroups([account["gid"]])
    os.setgid(account["gid"])
    os.setuid(account["uid"])


def main(spec_file: Path) -> None:
    """Do what the file says: record, change account, execute."""
    spec: dict[str, Any] = json.loads(spec_file.read_text(encoding="utf-8"))
    record(Path(spec["records"]), spec["name"], os.getpid())
    if cluster := spec.get("postgres_cluster"):
        forget_stale_postmaster(Path(cluster))
    os.chdir(spec["cwd"])
    if account := spec.get("account"):
        _become(account)
    os.execve(spec["argv"][0], spec["argv"], {**os.environ, **spec["environment"]})  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]))
