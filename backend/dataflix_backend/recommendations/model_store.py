"""The models on the disk, which all processes of a machine share: one folder each, whole or not there.

A folder is filled under another name and renamed when it is whole. Who uses one holds a lock on it, which
ends with the process; the leader is who holds the store's own lock. Locks are the kernel's (``flock``):
a killed process leaves none behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dataflix_recommender import Model, ModelError, digest, load_unpacked, unpack

#: Digits of the digest in a folder's name: enough to tell two models of one number apart.
_DIGITS = 12
_NOTE, _LEADER = "champion.json", "leader.lock"
#: In each model's folder: what is known about it. Its lock says that the folder is in use.
_ABOUT = "about.json"
#: What folders that are being made or removed are called.
_UNFINISHED = ".unfinished-"


class Champion(BaseModel):
    """A version of the model, with what replies say about it.

    Attributes:
        version: its number in the registry.
        digest: SHA-256 of its arrays, as the training noted it.
        run_id: the MLflow run that made it.
        trained_at: when it was registered.
        metrics: how good it was in its training's test.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    run_id: str
    trained_at: datetime
    metrics: dict[str, float]

    @property
    def folder(self) -> str:
        """The name of its folder on the disk."""
        return f"{self.version}-{self.digest[:_DIGITS]}"


class Note(BaseModel):
    """What the leader tells the other processes, and those after a restart.

    Attributes:
        champion: the last good one, whole on the disk; None: there was none yet.
        registry: whether MLflow's registry answers; ``empty``: it does, and names no champion.
        fault: why what the registry names is not what is served; empty: it is.
    """

    model_config = ConfigDict(frozen=True)

    champion: Champion | None = None
    registry: Literal["answers", "empty", "silent"] = "silent"
    fault: str = ""


class ModelStore:
    """The models below one folder.

    Args:
        folder: made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._leader: IO[bytes] | None = None

    def lead(self) -> bool:
        """Whether this process is the one that fills the store: the first that asks, until it ends."""
        if self._leader is None:
            self._leader = _locked(self._folder / _LEADER, fcntl.LOCK_EX, create=True)
        return self._leader is not None

    def resign(self) -> None:
        """Let another process be the leader."""
        if self._leader is not None:
            self._leader.close()
            self._leader = None

    def note(self) -> Note:
        """What the leader last noted; an empty note when there is none that can be read."""
        try:
            return Note.model_validate_json((self._folder / _NOTE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return Note()

    def write(self, note: Note) -> None:
        """Note something for all; the note is there whole or not at all."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_UNFINISHED, delete=False) as file:
            file.write(note.model_dump_json().encode())
        Path(file.name).replace(self._folder / _NOTE)

    def has(self, champion: Champion) -> bool:
        """Whether there is a folder of this model."""
        return (self._folder / champion.folder / _ABOUT).is_file()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder on the same disk, to make something in; removed at the end, or by the next `tidy`."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=_UNFINISHED) as folder:
            yield Path(folder)

    def put(self, champion: Champion, file: Path) -> None:
        """Check a model's file and lay it out; the leader does.

        Raises:
            ModelError: the file is damaged, or not the one that the champion's digest names.
        """
        with self.workspace() as workspace:
            made = workspace / champion.folder
            unpack(file, made)
            _check(load_unpacked(made), champion)
            (made / _ABOUT).write_text(champion.model_dump_json())
            self._throw_away(self._folder / champion.folder)  # what is left of a damaged one
            made.rename(self._folder / champion.folder)

    def take(self, champion: Champion) -> tuple[Model, IO[bytes]]:
        """Map a model, and the lock that keeps its folder; close the lock when the model is done with.

        A damaged folder is thrown away: the leader will make it again.

        Raises:
            FileNotFoundError: there is no such folder, or no longer.
            ModelError: the folder was damaged.
        """
        folder = self._folder / champion.folder
        lock = _locked(folder / _ABOUT, fcntl.LOCK_SH)
        if lock is None:
            raise FileNotFoundError(folder)  # it is being removed
        if not self.has(champion):
            lock.close()
            raise FileNotFoundError(folder)  # it was, meanwhile
        try:
            model = load_unpacked(folder)
            _check(model, champion)
        except ModelError:
            lock.close()
            self._throw_away(folder)
            raise
        return model, lock

    def tidy(self, keep: Champion | None) -> list[str]:
        """Remove models that nobody uses, but one, and what killed processes left; the leader does.

        Returns:
            The names of the removed folders.
        """
        removed = []
        for path in self._folder.iterdir():
            if path.name.startswith(_UNFINISHED):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            elif path.is_dir() and (keep is None or path.name != keep.folder) and self._remove(path):
                removed.append(path.name)
        return sorted(removed)

    def _remove(self, folder: Path) -> bool:
        """Remove a folder unless somebody uses it."""
        try:
            lock = _locked(folder / _ABOUT, fcntl.LOCK_EX)
        except FileNotFoundError:
            self._throw_away(folder)
            return True
        if lock is None:
            return False
        with lock:
            self._throw_away(folder)
        return True

    def _throw_away(self, folder: Path) -> None:
        """Remove a folder: at once for others, who have mapped it keep what they have."""
        with self.workspace() as workspace, contextlib.suppress(FileNotFoundError):
            folder.rename(workspace / folder.name)


def _check(model: Model, champion: Champion) -> None:
    found = digest(model)
    if found != champion.digest:
        raise ModelError(f"the arrays have the digest {found}, the registry names {champion.digest}")


def _locked(path: Path, kind: int, *, create: bool = False) -> IO[bytes] | None:
    """The open file with a lock; None: somebody else has one that excludes it.

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = path.open("ab" if create else "rb")
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file
