"""The paths of programs, servers and data, and the account that PostgreSQL runs as, since it refuses root."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.programs import find_program

#: The folder of system services' state, which is used if PostgreSQL's account cannot enter the repository.
SYSTEM_STATE = Path("/var/lib")


def repo_root() -> Path:
    """The checkout that this package runs from."""
    return Path(__file__).resolve().parents[2]


def home() -> Path:
    """The folder that ``run.sh`` makes: ``$DATAFLIX_HOME``, or ``.dataflix`` in the checkout."""
    return Path(os.environ.get("DATAFLIX_HOME") or repo_root() / ".dataflix").absolute()


def choose_state(preferred: Path, account: Account | None) -> Path:
    """The folder for servers and data: ``preferred``, unless PostgreSQL's account cannot reach it."""
    if account is None or account.reaches(preferred):
        return preferred
    digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:8]
    return SYSTEM_STATE / f"dataflix-{digest}"


def state() -> Path:
    """The folder of downloaded servers, and of the data unless the settings name another one."""
    return choose_state(home(), postgres_account())


def servers() -> Path:
    """The folder into which downloaded servers are installed; all stacks share it."""
    return state() / "servers"


def console_script(name: str) -> Path:
    """The path of one of Dataflix's programs, in the environment that has it.

    Raises:
        Fault: no environment has it.
    """
    found = find_program(name, home())
    if not found:
        raise Fault(f"{name} is not installed below {home()}/envs: run scripts/envs")
    return Path(found)


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one stack, below its data folder."""

    data: Path

    @property
    def conf(self) -> Path:
        """Rendered configuration, which holds passwords."""
        return self.data / "conf"

    @property
    def logs(self) -> Path:
        """One log file for each service."""
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Process records, locks and the supervisor's configuration."""
        return self.data / "run"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's cluster."""
        return self.data / "postgres"

    @property
    def kafka(self) -> Path:
        """Kafka's log segments: these hold personal data."""
        return self.data / "kafka"

    @property
    def clickhouse(self) -> Path:
        """ClickHouse's tables and working files."""
        return self.data / "clickhouse"

    @property
    def s3(self) -> Path:
        """Buckets and accounts of the S3 store."""
        return self.data / "s3"

    @property
    def airflow(self) -> Path:
        """Airflow's home: its logs and its login."""
        return self.data / "airflow"

    @property
    def dbt(self) -> Path:
        """The dbt webhook's runs, and dbt's compiled files."""
        return self.data / "dbt"

    @property
    def backend(self) -> Path:
        """The backend's copy of the model that it serves."""
        return self.data / "backend"

    @property
    def training(self) -> Path:
        """Caches of the training's libraries."""
        return self.data / "training"

    @property
    def postgres_partial(self) -> Path:
        """PostgreSQL's cluster while it is made, or the remains of a killed start."""
        return self.data / "postgres.partial"

    @property
    def owner(self) -> Path:
        """The file that says which checkout and which settings started the stack last."""
        return self.run / "owner.json"

    @property
    def parts(self) -> tuple[Path, ...]:
        """Every folder that a stack makes in its data folder."""
        return (
            self.conf,
            self.logs,
            self.run,
            self.postgres,
            self.kafka,
            self.clickhouse,
            self.s3,
            self.airflow,
            self.dbt,
            self.backend,
            self.training,
            self.postgres_partial,
        )


def layout(settings: Settings) -> Layout:
    """The folders of the stack that these settings describe."""
    return Layout((settings.data_dir or state() / "stack").expanduser().absolute())


@dataclass(frozen=True, slots=True)
class Account:
    """An operating system account that PostgreSQL runs as in place of root."""

    name: str
    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Whether this account may pass through every folder on the way to ``path``, itself included.

        Folders that do not exist yet do not count: the stack will make them so that it may.
        """
        return all(self._passes(folder) for folder in (path, *path.parents) if folder.exists())

    def _passes(self, folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def postgres_account() -> Account | None:
    """The account that PostgreSQL must run as; None: it may run as this process's account."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def make_traversable(folder: Path) -> None:
    """Make the folder so that PostgreSQL's account may pass through it, whatever the umask is."""
    for part in reversed((folder, *folder.parents)):
        if not part.exists():
            part.mkdir(exist_ok=True)  # two starts at once may both find it missing
            part.chmod(0o755)
