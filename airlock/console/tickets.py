"""The decisions that wait for the passkey of their person, between the page and its signature."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airlock.client.signing import ToSign
from airlock.console.context import Refusal
from airlock.console.sessions import Session

_TICKETS = 5_000
"""Tickets of all sessions together."""
TICKETS_OF_ONE = 40
"""Tickets of one session: one who asks for more loses the oldest of the own, and none of another person's."""


@dataclass(frozen=True)
class Wanted:
    """One decision, as its form says it."""

    decision: str
    fields: Mapping[str, Any]
    plan_id: str | None = None
    """None for a decision about the live gate."""


@dataclass
class Tickets:
    """Decisions that wait for the passkey of their person, in bounded memory; each is good once."""

    known: "OrderedDict[str, tuple[str, Wanted, ToSign]]" = field(default_factory=OrderedDict)

    def add(self, session: Session, wanted: Wanted, signed: ToSign) -> str:
        """Keep a decision for its session, and return its ticket."""
        name = secrets.token_urlsafe(24)
        self.known[name] = (session.csrf, wanted, signed)
        own = [known for known, (owner, _, _) in self.known.items() if owner == session.csrf]
        for known in own[:-TICKETS_OF_ONE]:
            del self.known[known]
        while len(self.known) > _TICKETS:
            self.known.popitem(last=False)
        return name

    def take(self, session: Session, name: str, wanted: Wanted) -> ToSign:
        """Return the decision of a ticket.

        Raises:
            Refusal: If it is none of this session, or another decision than the form says.
        """
        owner, known, signed = self.known.pop(name, ("", None, None))
        if signed is None or owner != session.csrf or known != wanted:
            raise Refusal("this is not the decision that was signed: open the page again")
        return signed
