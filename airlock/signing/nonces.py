"""Nonces of signed decisions: each is good once for each person, so that two people can sign at the same time.

They are made of the run's life, which no other run has, so that a replay makes them again without a command. Whoever knows
the run can compute them; they need not be secret. They make a statement good for one run, and for one time.
"""

from typing import Final

from airlock.base.canonical import digest
from airlock.base.model import WireModel
from airlock.base.person import folded

WINDOW: Final = 64
"""The latest nonces that can be used. A person who signs takes a few minutes, and others may sign meanwhile."""
_LABEL: Final = "airlock/nonce/1"
_REQUEST: Final = "airlock/nonce/undo/1"


class Spent(WireModel):
    """One nonce that a person has used."""

    number: int
    by: str
    """The folded name."""


class Nonces(WireModel):
    """The nonces of one life of a run: the number of the latest, and who has used which of the window."""

    number: int = 0
    spent: tuple[Spent, ...] = ()

    def latest(self, subject: str, life: str) -> str:
        """Return the nonce that the status shows, 64 hexadecimal digits."""
        return _nonce(subject, life, self.number)

    def problem(self, subject: str, life: str, nonce: str, by: str) -> str | None:
        """Return the reason why a person cannot use a nonce; None if that person can."""
        number = self._number(subject, life, nonce)
        if number is None:
            return "its nonce is not one of this run: read the status, and sign what it is about now"
        if Spent(number=number, by=folded(by)) in self.spent:
            return "its nonce has been used: a signed decision counts once; sign again with the nonce of the status"
        return None

    def spend(self, subject: str, life: str, nonce: str, by: str) -> "Nonces":
        """Return the nonces after a person has used one of them."""
        used = self._number(subject, life, nonce)
        if used is None:
            return self
        number = self.number + 1 if used == self.number else self.number
        spent = (*self.spent, Spent(number=used, by=folded(by)))
        return Nonces(number=number, spent=tuple(one for one in spent if one.number > number - WINDOW))

    def _number(self, subject: str, life: str, nonce: str) -> int | None:
        window = range(self.number, max(self.number - WINDOW, -1), -1)
        return next((number for number in window if _nonce(subject, life, number) == nonce), None)


def request_nonce(undo_id: str, life: str, previous: str) -> str:
    """Return the nonce of a request for an undo, whose run is not there yet. Once there is such a run, it is another one.

    Args:
        undo_id: The workflow id of the undo.
        life: The life of the plan's last run.
        previous: The run id of the latest undo of the plan; empty if there was none.
    """
    return digest([_REQUEST, undo_id, life, previous])


def _nonce(subject: str, life: str, number: int) -> str:
    return digest([_LABEL, subject, life, number])
