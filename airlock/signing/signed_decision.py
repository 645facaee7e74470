"""A signed decision as it is recorded: with everything by which it can be checked again, by a reader of files too."""

from collections.abc import Iterable

from pydantic import Field

from airlock.base.model import WireModel, is_empty
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.passkey import Passkey
from airlock.signing.proof import Registered, name_of, proof_of
from airlock.signing.statement import Statement, moment


class SignedDecision(WireModel):
    """A decision that was signed, with all by which that can be checked again."""

    statement: Statement
    evidence: DecisionEvidence
    key: str
    """The line of `authorized_keys` of its key, or `passkey <credential id> <person>`."""
    passkey: Passkey | None = Field(default=None, exclude_if=is_empty)
    """The passkey as it was registered."""

    @property
    def mismatch(self) -> str | None:
        """The reason why the evidence is not about the statement, its signature aside; None if it may be."""
        told = (self.evidence.nonce, moment(self.evidence.expires))
        fits = told == (self.statement.nonce, self.statement.expires)
        return None if fits else "the evidence has another nonce, or another time"


def signed_decision(
    statement: Statement, evidence: DecisionEvidence, key: str, passkeys: Iterable[Passkey]
) -> SignedDecision:
    """Return the record of a decision whose evidence fits.

    Args:
        statement: What was signed.
        evidence: The evidence.
        key: The name of the key that made it, see `Proof.made_by`.
        passkeys: The registered passkeys.
    """
    passkey = next((one for one in passkeys if name_of(one) == key), None)
    return SignedDecision(statement=statement, evidence=evidence, key=key, passkey=passkey)


def again(signed: SignedDecision, registered: Registered) -> SignedDecision | None:
    """Return a recorded decision if one of these keys made it, with the passkey as it is registered; None otherwise."""
    if signed.mismatch is not None:
        return None
    proof = proof_of(signed.evidence, signed.statement, registered)
    if proof.problem is not None:
        return None
    return signed_decision(signed.statement, signed.evidence, proof.made_by, registered.passkeys)


def unproven(signed: SignedDecision) -> str | None:
    """Return the reason why the evidence of a record does not prove its statement by the key that it names; None if it does.

    Raises:
        MissingExtra: If it is the evidence of a passkey, which cannot be checked here.
    """
    if signed.mismatch is not None:
        return signed.mismatch
    passkeys = (signed.passkey,) if signed.passkey is not None else ()
    if passkeys and name_of(passkeys[0]) != signed.key:
        return "the passkey has another name"
    registered = Registered(authorized_keys=() if passkeys else (signed.key,), passkeys=passkeys)
    return proof_of(signed.evidence, signed.statement, registered).problem
