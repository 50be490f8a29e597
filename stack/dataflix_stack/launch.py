"""Start a server in place of this process: ``python -m dataflix_stack.launch SPEC``, with SPEC a JSON file.

The supervisor starts this program instead of the server itself. Then arguments and secrets need no quoting in
the supervisor's configuration, each process leaves a record by which it is found again if the supervisor was
killed, and only the server runs as the account that the file names.

It imports only the standard library, since it runs before every start.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

#: The environment variable by which a server's descendants are recognised.
MARK = "DATAFLIX_SERVICE"
_GRACE_SECONDS = 5
_POLL_SECONDS = 0.05


def identity(pid: int) -> str | None:
    """A text that distinguishes a process from a later one with the same number; None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = fields.rpartition(")")[2].split()
    started = rest[18]  # field 22 of proc(5), in ticks since the boot
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return None if state == "Z" else f"{boot}:{started}"


def record(folder: Path, name: str, pid: int) -> None:
    """Record which process runs the service ``name``."""
    target = folder / f"{name}.process.json"
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps({"pid": pid, "identity": identity(pid)}), encoding="utf-8")
    partial.replace(target)


def forget_stale_postmaster(cluster: Path) -> None:
    """Remove a dead postmaster's lock file, since another process may have its number by now.

    PostgreSQL would then refuse to start. All processes of PostgreSQL have the cluster's folder as working
    directory. While there is one, the file is kept, and PostgreSQL itself checks the shared memory.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == cluster:
                return
        except OSError:  # it has ended, or belongs to another account, and so is not PostgreSQL
            continue
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def family(mark: str) -> list[int]:
    """The processes that descend from a start marked ``mark``, except this one.

    They are found by their environment, which children inherit even if they detach; processes of other
    accounts are not seen. (``SPT_NOENV`` keeps setproctitle, which Airflow and gunicorn use, from overwriting
    it.)
    """
    entry = f"{MARK}={mark}".encode()
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if entry in _environ(process).split(b"\0") and int(process.name) != os.getpid()
    ]


def _environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or belongs to another account
        return b""


def end_family(mark: str) -> int:
    """End the processes that an earlier start marked ``mark`` left behind; return how many there were.

    They are asked to end, and then killed. The workers of a killed server would otherwise keep its port, or
    go on working.
    """
    found = family(mark)
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        _signal_family(mark, number)
        deadline = time.monotonic() + seconds
        while family(mark) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return len(found)


def _signal_family(mark: str, number: signal.Signals) -> None:
    for pid in family(mark):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def lower_priority(pid: int, nice: int) -> None:
    """Lower the priority of a process that was just started, by ``nice`` below this process's."""
    if nice:
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid) + nice)


def _become(account: dict[str, int]) -> None:
    os.setgroups([account["gid"]])
    os.setgid(account["gid"])
    os.setuid(account["uid"])


def main(spec_file: Path) -> None:
    """Start the server that the file describes: record the process, change the account, and execute it."""
    spec: dict[str, Any] = json.loads(spec_file.read_text(encoding="utf-8"))
    mark = f"{spec['records']}/{spec['name']}"
    end_family(mark)
    record(Path(spec["records"]), spec["name"], os.getpid())
    if cluster := spec.get("postgres_cluster"):
        forget_stale_postmaster(Path(cluster))
    os.chdir(spec["cwd"])
    os.nice(spec["nice"])
    if account := spec.get("account"):
        _become(account)
    environment = {**os.environ, **spec["environment"], MARK: mark, "SPT_NOENV": "1"}
    os.execve(spec["argv"][0], spec["argv"], environment)  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]))
