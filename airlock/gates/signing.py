"""Signed decisions about a gate: what they are bound to, and those that wait for another person."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, Field

from airlock.base.model import WireModel, is_empty
from airlock.signing.load import ProofLoad
from airlock.signing.nonces import Nonces
from airlock.signing.signed_decision import SignedDecision

MAX_PROOFS: Final = 10
"""Signatures of one decision that a notice repeats, the latest ones."""
MAX_PROVED: Final = 40
"""Signatures that a gate keeps. A continue-as-new carries them."""


class GateVoice(WireModel):
    """Decision that waits for another person to decide the same."""

    name: str
    by: str
    scope: str | None
    at: datetime
    """UTC."""
    made_by: str = ""
    """Key that signed it."""
    signed: SignedDecision | None = Field(default=None, exclude_if=is_empty)
    """Signed decision; None without evidence, and of a version that did not keep it."""


class ProvedDecision(WireModel):
    """Decision that the gate obeyed, with what people signed."""

    id: str
    """Name of the decision in notices, and in the lock that it made."""
    signed: tuple[SignedDecision, ...]
    """In the order of the decisions: the last one took effect."""


class GateSigning(BaseModel):
    """Life of a gate, and what people have signed in it. Mutable, and carried through continue-as-new in its gate."""

    life: str = ""
    """Name of the gate's run in a signed statement. A run that takes up the state of another one has a life of its own."""
    nonces: Nonces = Field(default_factory=Nonces)
    """Nonces that people have signed with."""
    voices: list[GateVoice] = Field(default_factory=list)
    proved: list[ProvedDecision] = Field(default_factory=list, exclude_if=is_empty)
    """Latest decisions that were signed, which notices to plans repeat."""
    proof_load: ProofLoad = Field(default_factory=ProofLoad, exclude=True)

    def begin(self, life: str) -> None:
        """Begin a life: what was signed in another one does not count."""
        self.life, self.nonces, self.voices = life, Nonces(), []

    def prove(self, signed: tuple[SignedDecision, ...]) -> str:
        """Keep what people signed, and return the name of their decision; empty if nothing was signed."""
        if not signed:
            return ""
        made = ProvedDecision(id=signed[-1].statement.sha256.hex()[:16], signed=signed[-MAX_PROOFS:])
        self.proved = [*(one for one in self.proved if one.id != made.id), made]
        while sum(len(one.signed) for one in self.proved) > MAX_PROVED:
            del self.proved[0]
        return made.id

    def proof(self, decision: str) -> tuple[SignedDecision, ...]:
        """Return what people signed of a decision; empty if nothing was, or too many were signed since."""
        return next((one.signed for one in self.proved if one.id == decision), ())

    def locked(self, scope: str | None) -> None:
        """Forget who wanted to unlock a scope before it was locked: those people have not seen this lock."""
        self.voices = [voice for voice in self.voices if (voice.name, voice.scope) != ("unlock", scope)]
