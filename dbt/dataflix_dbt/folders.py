"""Where the server keeps what it writes: all below the stack's data folder, nothing in the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The dbt project, beside this package.
PROJECT = Path(__file__).resolve().parents[1] / "project"


@dataclass(frozen=True, slots=True)
class Folders:
    """The files of one server, below ``root``."""

    root: Path

    @property
    def database(self) -> Path:
        """The runs: a SQLite database."""
        return self.root / "runs.sqlite"

    @property
    def logs(self) -> Path:
        """What dbt printed, a file for each run."""
        return self.root / "logs"

    @property
    def target(self) -> Path:
        """What dbt keeps from run to run (parsed project, artefacts)."""
        return self.root / "target"

    @property
    def docs_target(self) -> Path:
        """Where dbt makes the documentation before it is shown."""
        return self.root / "docs-target"

    @property
    def docs_page(self) -> Path:
        """The documentation that is shown: one page with everything in it."""
        return self.root / "docs" / "index.html"

    @property
    def server_lock(self) -> Path:
        """Locked while a server works on these files."""
        return self.root / "server.lock"

    @property
    def job_lock(self) -> Path:
        """Locked while dbt runs, by dbt's own process: it may outlive a killed server for a moment."""
        return self.root / "job.lock"

    def log(self, run_id: str) -> Path:
        """What dbt printed in one run."""
        return self.logs / f"{run_id}.log"

    def make(self) -> None:
        """Make the folders that are missing."""
        for folder in (self.logs, self.target, self.docs_target, self.docs_page.parent):
            folder.mkdir(parents=True, exist_ok=True)
