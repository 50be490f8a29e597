"""Who the servers run as, and the folders that other accounts must pass: PostgreSQL refuses to be root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


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
