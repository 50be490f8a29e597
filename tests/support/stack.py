"""A native stack of the tests' own: free ports, a folder of its own, the same ./run.sh as a person's."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dataflix_clients.stack_status import StackStatus
from dataflix_contract import Settings
from dataflix_contract.console import Console
from dataflix_contract.settings import read_settings
from dataflix_contract.settings_file import ENV_PREFIX, FILE_NAMES
from dataflix_stack import supervision
from dataflix_stack.paths import layout, postgres_account
from dataflix_stack.servers import wanted_servers
from dataflix_stack.stack import Stack as Described
from dataflix_stack.status import look
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

#: Consecutive ports that a test stack takes: every ``*_port`` setting, and the maskers at the end.
_PORTS = 40
# Below Linux's range for outgoing connections (32768 and up), so that nobody takes one meanwhile.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000
#: A killed server is back in seconds; on a machine with much else to do, so long.
_PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        env_file: its settings file.
        data_dir: where it keeps data, logs and configuration.
        settings: its settings, read from the file.
        root: the checkout that it runs from.
    """

    env_file: Path
    data_dir: Path
    settings: Settings
    root: Path = ROOT

    def run(
        self, *command: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the repository against this stack and return what it printed.

        Raises:
            AssertionError: it failed and ``check`` is set; the message is what it printed.
        """
        done = subprocess.run(
            command,
            cwd=self.root,
            env=os.environ | {"DATAFLIX_ENV_FILE": str(self.env_file)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self) -> None:
        """Start the stack, or whatever of it is not running."""
        self.run("./run.sh", "--native", "--env-file", str(self.env_file), timeout=600)

    def down(self, *options: str) -> None:
        """Stop the stack."""
        self.run("./stop.sh", "--env-file", str(self.env_file), *options)

    def status(self) -> dict[str, Any]:
        """The stack's own view of itself, whether all is well or not."""
        answer: dict[str, Any] = json.loads(self.run("bin/dataflix-status", "--json", check=False).stdout)
        return answer

    def look(self) -> StackStatus:
        """What ``dataflix-status`` shows, asked in this process.

        For tests that ask again and again: a new process for each question would take the processor from
        the servers that are waited for.
        """
        described = Described(
            self.settings,
            self.env_file,
            layout(self.settings),
            wanted_servers(),
            postgres_account(),
            Console(stderr=True),
        )
        return look(described)

    def wait_ready(self, who: str) -> None:
        """Wait until nothing is missing again; ``who`` is told where something is, and what."""
        faults: list[str] = []

        def nothing_is_missing() -> bool:
            faults[:] = self.look().faults
            return not faults

        try:
            wait_until(nothing_is_missing, f"{who} is back", seconds=_PATIENCE_SECONDS, every=1)
        except AssertionError as fault:
            raise AssertionError(f"{fault}: {'; '.join(faults)}") from None

    def pid(self, service: str) -> int:
        """The service's main process; waits for one while the supervisor starts it again."""
        run = layout(self.settings).run
        pid = wait_until(lambda: supervision.recorded(run, service), f"{service} has a process")
        assert pid
        return pid

    def kill(self, service: str) -> None:
        """SIGKILL the service's main process, and wait until the supervisor has noticed its end."""
        process = psutil.Process(self.pid(service))
        process.kill()
        process.wait(timeout=_PATIENCE_SECONDS)


@contextmanager
def running_stack(root: Path = ROOT, **overrides: str) -> Iterator[Stack]:
    """Start a stack on free ports, and stop and delete it at the end.

    Its daily batch runs when a test asks for it, and not when the clock says so. Its API takes as many
    requests as all tests together send.

    Args:
        root: the checkout to run it from.
        overrides: settings by field name, as text.
    """
    # Not pytest's tmp_path: its folders are closed to the user that PostgreSQL runs as under root.
    folder = Path(tempfile.mkdtemp(prefix="dataflix-test-"))
    folder.chmod(0o755)
    env_file, data_dir = folder / "stack.env", folder / "data"
    with free_ports() as ports:
        values = (
            ports
            | {"data_dir": str(data_dir), "batch_schedule": "off", "backend_rate_limit": "0"}
            | overrides
        )
        env_file.write_text("".join(map(setting_line, values, values.values())))
        stack = Stack(env_file, data_dir, read_settings(env_file), root)
        try:
            stack.up()
            yield stack
        finally:
            stack.down("--wipe", "--yes")
            shutil.rmtree(folder)


def setting_line(field: str, value: str) -> str:
    """A setting as a settings file has it, with the name that it has there."""
    return f"{FILE_NAMES.get(field, ENV_PREFIX + field.upper())}={value}\n"


@contextmanager
def free_ports() -> Iterator[dict[str, str]]:
    """A port for each setting; nobody else's tests take them meanwhile."""
    names = sorted(name for name in Settings.model_fields if name.endswith("_port"))
    names.append(names.pop(names.index("masker_port")))  # last: worker n listens at +n
    for base in range(_FIRST_PORT, _LAST_PORT, _PORTS):
        with (Path(tempfile.gettempdir()) / f"dataflix-test-ports-{base}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _all_free(base):
                yield {name: str(base + place) for place, name in enumerate(names)}
                return
    raise AssertionError(f"no {_PORTS} free ports in a row from {_FIRST_PORT} to {_LAST_PORT}")


def _all_free(base: int) -> bool:
    return all(_is_free(port) for port in range(base, base + _PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
