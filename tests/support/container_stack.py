"""A stack of the tests' own in containers: free ports, its own passwords, a project of its own."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dataflix_contract import Settings
from dataflix_contract.settings import read_settings
from support.stack import ROOT, free_ports, setting_line
from support.waiting import wait_until

#: The containers' Kafka asks for no login; the second is a part of an address, and has no line of its own;
#: the others are the original document's, which has to work.
_NOT_SET = {
    *("kafka_password", "airflow_db_password"),
    *("postgres_password", "clickhouse_password", "airflow_password", "s3_secret_key", "backend_token"),
}


@dataclass(frozen=True)
class ContainerStack:
    """A stack in containers.

    Attributes:
        env_file: its settings file; the project's name comes of it.
        settings: its settings, read from the file.
        environment: where ``docker`` finds the engine.
    """

    env_file: Path
    settings: Settings
    environment: Mapping[str, str]

    @property
    def project(self) -> str:
        """The project's name, which is a part of the name of everything that the engine keeps."""
        return f"dataflix-{self.env_file.stem}"

    @property
    def secrets(self) -> set[str]:
        """The passwords and keys that only this stack has."""
        values = (value for _, value in self.settings if isinstance(value, SecretStr))
        return {text for value in values if len(text := value.get_secret_value()) == 2 * _SECRET_BYTES}

    def run(
        self, *command: str, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the repository against this stack and return what it printed.

        Raises:
            AssertionError: it failed and ``check`` is set; the message is what it printed.
        """
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.environment, "DATAFLIX_ENV_FILE": str(self.env_file)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def compose(self, *arguments: str, timeout: float = 900) -> str:
        """What ``scripts/compose`` prints."""
        return self.run(
            "scripts/compose", "--env-file", str(self.env_file), *arguments, timeout=timeout
        ).stdout

    def docker(self, *arguments: str, timeout: float = 900) -> str:
        """What ``docker`` prints."""
        return self.run("docker", *arguments, timeout=timeout).stdout

    def start(self) -> float:
        """Start it, or whatever of it is not running; returns how many seconds that took."""
        began = time.monotonic()
        self.run("./run.sh", "--compose", "--env-file", str(self.env_file), timeout=3000)
        return time.monotonic() - began

    def stop(self, *options: str) -> None:
        """Stop it."""
        self.run("./stop.sh", "--env-file", str(self.env_file), *options)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What ``docker inspect`` says of each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def status(self) -> dict[str, Any]:
        """The stack's own view of itself, whether all is well or not."""
        answer: dict[str, Any] = json.loads(self.run("bin/dataflix-status", "--json", check=False).stdout)
        return answer

    def kill(self, *services: str) -> None:
        """SIGKILL these containers' main processes, and wait until others are healthy in their place.

        ``docker kill`` would not do: the engine would take it for a wish that they stay away.
        """
        before = self.containers()
        for service in services:
            os.kill(before[service]["State"]["Pid"], signal.SIGKILL)

        def not_back() -> list[str]:
            now = self.containers()
            return [
                service
                for service in services
                if now[service]["State"]["Pid"] in {0, before[service]["State"]["Pid"]}
                or now[service]["State"].get("Health", {}).get("Status") != "healthy"
            ]

        wait_until(lambda: not not_back(), f"{', '.join(services)} are back", seconds=300, every=1)


_SECRET_BYTES = 20


@contextmanager
def container_stack(environment: Mapping[str, str]) -> Iterator[ContainerStack]:
    """Settings for a stack that is not started yet; whatever of it is there at the end is deleted.

    Args:
        environment: where ``docker`` finds the engine.
    """
    folder = Path(tempfile.mkdtemp(prefix="dataflix-test-"))
    folder.chmod(0o755)
    env_file = folder / f"e2e{os.getpid()}.env"
    with free_ports() as ports:
        private = {
            name: secrets.token_hex(_SECRET_BYTES)
            for name, field in Settings.model_fields.items()
            if isinstance(field.default, SecretStr) and name not in _NOT_SET
        }
        # the folder is for the native way: stop.sh would delete that of this checkout's own stack
        fixed = {"batch_schedule": "off", "backend_rate_limit": "0", "data_dir": str(folder / "data")}
        values = ports | private | fixed
        env_file.write_text("".join(map(setting_line, values, values.values())))
        stack = ContainerStack(env_file, read_settings(env_file), environment)
        try:
            yield stack
        finally:
            stack.stop("--wipe", "--yes")
            shutil.rmtree(folder)
