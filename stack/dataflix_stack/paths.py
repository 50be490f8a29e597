"""Where things are, and which account must get there: PostgreSQL refuses to be root."""

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

#: Where system services keep their state; used when PostgreSQL's account cannot enter the repository.
SYSTEM_STATE = Path("/var/lib")


def repo_root() -> Path:
    """The checkout that this package runs from."""
    return Path(__file__).resolve().parents[2]


def home() -> Path:
    """What ``run.sh`` makes: ``$DATAFLIX_HOME``, or ``.dataflix`` in the checkout."""
    return Path(os.environ.get("DATAFLIX_HOME") or repo_root() / ".dataflix").absolute()


def choose_state(preferred: Path, account: Account | None) -> Path:
    """Where servers and data can be: ``preferred``, unless PostgreSQL's account could not reach it."""
    if account is None or account.reaches(preferred):
        return preferred
    digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:8]
    return SYSTEM_STATE / f"dataflix-{digest}"


def state() -> Path:
    """The folder of downloaded servers and, unless settings say otherwise, of the data."""
    return choose_state(home(), postgres_account())


def servers() -> Path:
    """The folder that downloaded servers are installed to, shared by all stacks."""
    return state() / "servers"


def console_script(name: str) -> Path:
    """A program of ours, in the environment that has it.

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
        """Rendered configuration: holds passwords."""
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
        """The dbt webhook's runs and what dbt compiles."""
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
        """PostgreSQL's cluster while it is made; what is left of a start that was killed."""
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

        Folders that do not exist yet will be made by us, passable.
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
    """The account that PostgreSQL has to run as, or None when it may run as we do."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def make_passable(folder: Path) -> None:
    """Make the folder; PostgreSQL's account must be able to pass whatever the umask is."""
    for part in reversed((folder, *folder.parents)):
        if not part.exists():
            part.mkdir(exist_ok=True)  # two starts at once may both find it missing
            part.chmod(0o755)
