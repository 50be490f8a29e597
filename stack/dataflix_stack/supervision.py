"""The supervisor of one stack: start it, change its programs, ask and tell, and end what it left behind.

``launch`` leaves a record of each process: these say which one serves as what when the supervisor was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import supervisor.xmlrpc  # type: ignore[import-untyped]

from dataflix_contract.faults import Fault
from dataflix_contract.polling import poll
from dataflix_stack.launch import end_family, identity, record
from dataflix_stack.paths import Layout

#: What the records of processes call the supervisor itself.
SUPERVISOR = "supervisord"
#: ``sun_path`` has 108 bytes, and the supervisor binds a longer name first.
_LONGEST_SOCKET = 88
_POLL_SECONDS = 0.05
_START_SECONDS = 15
_GRACE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class State:
    """What the supervisor says of one program."""

    name: str
    state: str
    pid: int
    started: int

    @property
    def running(self) -> bool:
        """Whether its process is there, though perhaps not ready."""
        return self.state in {"RUNNING", "STARTING"}


def socket_path(layout: Layout) -> Path:
    """The supervisor's socket: in the data folder, or in a private short one if that is too long."""
    natural = layout.run / "supervisor.sock"
    if len(os.fsencode(natural)) <= _LONGEST_SOCKET:
        return natural
    digest = hashlib.sha256(os.fsencode(layout.data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dataflix-{os.geteuid()}-{digest}" / "supervisor.sock"


def _secure(folder: Path) -> None:
    """Make the socket's folder ours alone: in a folder for all, somebody may have been first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise Fault(f"{folder} is not a private folder of this account: remove it")


class Supervisor:
    """The supervisor of the stack in ``layout``."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.socket = socket_path(layout)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return recorded(self._layout.run, SUPERVISOR) is not None

    @property
    def config_file(self) -> Path:
        """Where its configuration is."""
        return self._layout.run / "supervisord.conf"

    def start(self) -> None:
        """Start it, without its programs, and wait until it answers."""
        _secure(self.socket.parent)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config_file)]
        with (self._layout.logs / "supervisord.out.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._layout.run,
                start_new_session=True,
            )
        record(self._layout.run, SUPERVISOR, process.pid)
        poll(lambda: self._answers() or process.poll() is not None, _START_SECONDS, _POLL_SECONDS)
        if not self._answers():
            raise Fault(f"the supervisor does not start: see {self._layout.logs}/supervisord*.log")

    def stop(self) -> None:
        """End it, with whatever still runs below it."""
        pid = recorded(self._layout.run, SUPERVISOR)
        if pid is None:
            return
        with self._rpc() as rpc:
            rpc.shutdown()
        while recorded(self._layout.run, SUPERVISOR) is not None:
            time.sleep(_POLL_SECONDS)
        # our child when one command starts and stops a stack
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    def reload(self) -> list[str]:
        """Take up a changed configuration; programs that changed are stopped. Returns their names."""
        with self._rpc() as rpc:
            [[added, changed, removed]] = rpc.reloadConfig()
            for name in (*changed, *removed):
                rpc.stopProcessGroup(name)
                rpc.removeProcessGroup(name)
            for name in (*added, *changed):
                rpc.addProcessGroup(name)
        return [str(name) for name in changed]

    def states(self) -> dict[str, State]:
        """Every program by name."""
        with self._rpc() as rpc:
            found = rpc.getAllProcessInfo()
        return {one["name"]: State(one["name"], one["statename"], one["pid"], one["start"]) for one in found}

    def start_program(self, name: str) -> None:
        """Start one program unless it runs already; does not wait."""
        if not self.states()[name].running:
            with self._rpc() as rpc:
                rpc.startProcess(name, False)

    def stop_program(self, name: str) -> None:
        """Stop one program and wait for its end."""
        if self.states()[name].state in {"STOPPED", "EXITED", "FATAL"}:
            return
        with self._rpc() as rpc:
            rpc.stopProcess(name)

    def _answers(self) -> bool:
        try:
            with self._rpc() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except Fault:
            return False

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        transport = supervisor.xmlrpc.SupervisorTransport(serverurl=f"unix://{self.socket}")
        # the address only has to parse: the transport knows the socket
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            yield proxy.supervisor
        except (OSError, xmlrpc.client.Error) as fault:
            raise Fault(f"the supervisor at {self.socket} says: {fault}") from fault
        finally:
            transport.close()


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
