"""Control a stack's supervisor: start and stop it and its programs, and end processes that it left behind.

``launch`` writes a record of each process. After the supervisor was killed, the records say which process
runs which service.
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

#: The supervisor's own name in the records of processes.
SUPERVISOR = "supervisord"
#: A Unix socket's path has at most 108 bytes (``sun_path``), and the supervisor first binds a longer,
#: temporary name.
_LONGEST_SOCKET = 88
_POLL_SECONDS = 0.05
_START_SECONDS = 15
_GRACE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class State:
    """The state of one program, as the supervisor gives it."""

    name: str
    state: str
    pid: int
    started: int

    @property
    def running(self) -> bool:
        """Whether its process exists, though perhaps it is not ready."""
        return self.state in {"RUNNING", "STARTING"}


def socket_path(layout: Layout) -> Path:
    """The path of the supervisor's socket: in the data folder, or below /tmp if that path is too long."""
    natural = layout.run / "supervisor.sock"
    if len(os.fsencode(natural)) <= _LONGEST_SOCKET:
        return natural
    digest = hashlib.sha256(os.fsencode(layout.data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dataflix-{os.geteuid()}-{digest}" / "supervisor.sock"


def _secure(folder: Path) -> None:
    """Make the socket's private folder, and refuse one that another account made before."""
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
        """Whether its process exists."""
        return recorded(self._layout.run, SUPERVISOR) is not None

    @property
    def config_file(self) -> Path:
        """The path of its configuration."""
        return self._layout.run / "supervisord.conf"

    def start(self) -> None:
        """Start the supervisor, without its programs, and wait until it answers."""
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
        """End the supervisor, with all programs that still run."""
        pid = recorded(self._layout.run, SUPERVISOR)
        if pid is None:
            return
        with self._rpc() as rpc:
            rpc.shutdown()
        while recorded(self._layout.run, SUPERVISOR) is not None:
            time.sleep(_POLL_SECONDS)
        # it is this process's child if one command starts and stops a stack
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    def reload(self) -> list[str]:
        """Read the changed configuration; stop programs that changed, and return their names."""
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
        """Start one program unless it runs already, without waiting for it."""
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
        # the address must only be valid: the transport connects to the socket
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            yield proxy.supervisor
        except (OSError, xmlrpc.client.Error) as fault:
            raise Fault(f"the supervisor at {self.socket} says: {fault}") from fault
        finally:
            transport.close()


def recorded(folder: Path, name: str) -> int | None:
    """The number of the process that runs the service ``name``; None: it has ended."""
    try:
        entry = json.loads((folder / f"{name}.process.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    alive = entry["identity"] is not None and identity(entry["pid"]) == entry["identity"]
    return int(entry["pid"]) if alive else None


def all_recorded(folder: Path) -> dict[str, int]:
    """The numbers of all recorded processes that still run, by name, without the supervisor."""
    found = {name: recorded(folder, name) for name in _names(folder)}
    return {name: pid for name, pid in found.items() if pid is not None}


def _names(folder: Path) -> list[str]:
    """Every service that was ever started here."""
    names = [path.name.removesuffix(".process.json") for path in folder.glob("*.process.json")]
    return [name for name in names if name != SUPERVISOR]


def mark(folder: Path, name: str) -> str:
    """The mark that ``launch`` gives to the processes of the service ``name``."""
    return f"{folder}/{name}"


def stop_recorded(folder: Path, tell: Callable[[str], None]) -> None:
    """End the servers that a killed supervisor left behind: they are asked to end, and then killed."""
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
    """Send SIGTERM, or SIGINT to PostgreSQL, which after SIGTERM would wait for every client."""
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
