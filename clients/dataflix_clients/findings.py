"""One thing that is not as it must be, and what to do about it."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from dataflix_clients.replication_slot import RESNAPSHOT_CURE

#: Programs that several cures name.
MIGRATE, RECONCILE = "run dataflix-migrate", "bin/dataflix-reconcile"


class Level(enum.Enum):
    """How bad a finding is."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be, and what to do about it."""

    level: Level
    subject: str
    problem: str
    cure: str

    @property
    def is_lost_slot(self) -> bool:
        """Whether a new snapshot is the cure, so that it must not be refused for this."""
        return self.cure == RESNAPSHOT_CURE

    @property
    def text(self) -> str:
        """The finding in one line."""
        return f"{self.subject} {self.problem}: {self.cure}"


def faults(findings: Iterable[Finding]) -> list[Finding]:
    """Those findings with which capturing cannot work."""
    return [finding for finding in findings if finding.level is Level.FAULT]


def fault(subject: str, problem: str, cure: str) -> Finding:
    """Something with which capturing cannot work."""
    return Finding(Level.FAULT, subject, problem, cure)


def warning(subject: str, problem: str, cure: str) -> Finding:
    """Something with which capturing works, and that somebody should look at."""
    return Finding(Level.WARNING, subject, problem, cure)
