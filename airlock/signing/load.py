"""The load of looking at evidence: a bounded number of proofs at one moment, however many any client sends."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

AT_ONCE: Final = 100
"""Proofs in one workflow task, at most. One takes a millisecond, and a task of more than two seconds never ends."""
TOO_MANY: Final = "too many signatures arrived at the same time, and this one was not looked at: send it again"


@dataclass
class ProofLoad:
    """The number of proofs that were looked at in one moment. Time stands still within a workflow task."""

    at: datetime | None = None
    number: int = 0

    def full(self, now: datetime, most: int = AT_ONCE) -> bool:
        """Count one more proof; return True if it is too many for this moment.

        Args:
            now: UTC.
            most: The number that is not too many.
        """
        self.number = self.number + 1 if now == self.at else 1
        self.at = now
        return self.number > most
