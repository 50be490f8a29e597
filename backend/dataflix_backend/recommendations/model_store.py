"""Store models on the disk, where all processes of a machine share them: each in a folder of its own.

A folder is filled under another name and renamed when it is complete. A process that uses a model holds a
lock on its folder; the leader is the process that holds the lock of the whole store. Locks are the kernel's
(``flock``): they end with the process, even if it is killed.
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

from dataflix_backend.schemas import Refusal
from dataflix_recommender import Model, ModelError, digest, load_unpacked, unpack

#: Digits of the digest in a folder's name: enough to distinguish two models with the same version number.
_DIGITS = 12
_NOTE, _LEADER = "champion.json", "leader.lock"
#: A file in each model's folder that describes the model. A lock on it says that the folder is in use.
_ABOUT = "about.json"
#: The names of files and folders that are being made or removed begin like this.
_UNFINISHED = ".unfinished-"


class Champion(BaseModel):
    """A registered version that was the champion, with what replies say about it.

    Attributes:
        version: its number in the registry.
        digest: SHA-256 of its arrays, as the training recorded it.
        run_id: the MLflow run that made it.
        trained_at: when it was registered.
        metrics: its scores in the test of its training.
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
    """What the leader writes to the disk for the other processes, and for those after a restart.

    Attributes:
        champion: the last champion that is complete on the disk; None: there was none yet.
        registry: whether MLflow's registry answers; ``empty``: it answers, and names no champion.
        refusal: why the champion that the registry names is not served; None: it is.
    """

    model_config = ConfigDict(frozen=True)

    champion: Champion | None = None
    registry: Literal["answers", "empty", "silent"] = "silent"
    refusal: Refusal | None = None


class ModelStore:
    """The models below one folder.

    Args:
        folder: where the models are; it is made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._leader: IO[bytes] | None = None

    def try_to_lead(self) -> bool:
        """Try to become the leader, which fills the store; return whether this process is it."""
        if self._leader is None:
            self._leader = _locked(self._folder / _LEADER, fcntl.LOCK_EX, create=True)
        return self._leader is not None

    def resign(self) -> None:
        """Let another process be the leader."""
        if self._leader is not None:
            self._leader.close()
            self._leader = None

    def note(self) -> Note:
        """The leader's last note; an empty one if there is none that can be read."""
        try:
            return Note.model_validate_json((self._folder / _NOTE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return Note()

    def write(self, note: Note) -> None:
        """Write a note for all processes, in one step: they read either the old or the new one."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_UNFINISHED, delete=False) as file:
            file.write(note.model_dump_json().encode())
        Path(file.name).replace(self._folder / _NOTE)

    def has(self, champion: Champion) -> bool:
        """Whether there is a folder of this model."""
        return (self._folder / champion.folder / _ABOUT).is_file()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A temporary folder on the same disk; removed at the end, or else by the next `tidy`."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=_UNFINISHED) as folder:
            yield Path(folder)

    def put(self, champion: Champion, file: Path) -> None:
        """Unpack a model's file into the store, and check it; only the leader calls this.

        Raises:
            ModelError: the file is damaged, or does not have the champion's digest.
        """
        with self.workspace() as workspace:
            made = workspace / champion.folder
            unpack(file, made)
            _check(load_unpacked(made), champion)
            (made / _ABOUT).write_text(champion.model_dump_json())
            self._throw_away(self._folder / champion.folder)  # the remains of a damaged folder
            made.rename(self._folder / champion.folder)

    def take(self, champion: Champion) -> tuple[Model, IO[bytes]]:
        """Map a model into memory, and lock its folder; close the lock when the model is no longer used.

        A damaged folder is removed: the leader will make it again.

        Raises:
            FileNotFoundError: the folder does not exist, or no longer.
            ModelError: the folder was damaged.
        """
        folder = self._folder / champion.folder
        lock = _locked(folder / _ABOUT, fcntl.LOCK_SH)
        if lock is None:
            raise FileNotFoundError(folder)  # the folder is being removed
        if not self.has(champion):
            lock.close()
            raise FileNotFoundError(folder)  # the folder was removed meanwhile
        try:
            model = load_unpacked(folder)
            _check(model, champion)
        except ModelError:
            lock.close()
            self._throw_away(folder)
            raise
        return model, lock

    def tidy(self, keep: Champion | None) -> list[str]:
        """Remove models that no process uses, except ``keep``, and what killed processes left behind.

        Only the leader calls this.

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
        """Remove a folder unless a process uses it; whether it was removed."""
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
        """Remove a folder in one step; processes that have mapped its files keep them."""
        with self.workspace() as workspace, contextlib.suppress(FileNotFoundError):
            folder.rename(workspace / folder.name)


def _check(model: Model, champion: Champion) -> None:
    found = digest(model)
    if found != champion.digest:
        raise ModelError(f"the arrays have the digest {found}, the registry names {champion.digest}")


def _locked(path: Path, kind: int, *, create: bool = False) -> IO[bytes] | None:
    """Open a file and lock it; None: another process's lock excludes this one.

    Raises:
        FileNotFoundError: the file does not exist.
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
