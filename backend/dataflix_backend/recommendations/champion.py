"""What is known about the model in service, as it is noted on the disk."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

#: Digits of the digest in a folder's name: enough to tell two models of one number apart.
_DIGITS = 12


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
