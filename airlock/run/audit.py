"""The audit of a plan: its events, entry by entry, as the run itself recorded them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from airlock.base.model import WireModel, is_empty
from airlock.base.names import RESERVED
from airlock.signing.passkey import Passkey
from airlock.signing.signature_words import OLD_FORM, signatures_words
from airlock.signing.signed_decision import SignedDecision

MAX_REFUSALS = 200
"""Refusals that a run keeps in full. Further ones are only counted, so that a flood of junk cannot fill the run."""
LATELY_REFUSED = 10
"""Refusals that the status shows, the latest ones."""


class AuditKind(StrEnum):
    """The kind of an audit entry."""

    TRANSITION = "transition"
    DECISION = "decision"
    REFUSED = "refused"
    ADMISSION = "admission"
    CALL = "call"
    UNDO = "undo"
    DRIFT = "drift"
    CONFLICT = "conflict"


class AuditEntry(WireModel):
    """One event of a plan."""

    number: int
    at: datetime
    """UTC."""
    kind: AuditKind
    what: str
    """The event of that kind, for example the name of a signal or the kind of a conflict."""
    by: str = "airlock"
    """A person, an agent, or `airlock` itself."""
    reason: str = ""
    step: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    digest: str | None = None
    answer: str | None = None
    """The answer to a conflict, or the settlement that a `resolve` named."""
    signed: SignedDecision | None = Field(default=None, exclude_if=is_empty)
    """The signed statement of a person; None for a decision without evidence, and for any other entry."""
    gate: bool = Field(default=False, exclude_if=is_empty)
    """True if a message said that this person decided it at a gate. `signed` proves that, where it was signed there."""
    also: tuple[SignedDecision, ...] = Field(default=(), exclude_if=is_empty)
    """The signed decisions of other people who decided the same at the gate before."""
    old_form: bool = Field(default=False, exclude_if=is_empty)
    """True for an approval with a good signature in the older form, which `signed` does not hold."""

    @property
    def signature(self) -> str:
        """The words about its signature; empty for an entry that is no decision of a person."""
        return self.signature_among(())

    def signature_among(self, known: Sequence[Passkey]) -> str:
        """Return these words with the labels of passkeys that the operator's file has."""
        if self.signed is None and (self.kind is not AuditKind.DECISION or self.by.lower() in RESERVED):
            return ""
        stated = None if self.signed is None else self.signed.statement
        if stated is not None and (stated.decision, stated.by) != (self.what, self.by):
            return "THE SIGNED STATEMENT IS NOT THIS DECISION"
        if self.kind is AuditKind.REFUSED:
            return f"refused, {signatures_words(self.signed, self.also, known=known)}"
        if self.signed is None and self.old_form:
            return OLD_FORM
        return signatures_words(self.signed, self.also, told_by_gate=self.gate, known=known)
