"""The judgement of evidence: whether a key or a passkey of that person made that statement."""

from collections.abc import Sequence
from dataclasses import dataclass

from airlock.base.keys import SignatureError, read_key
from airlock.base.person import same_person
from airlock.signing import passkey as passkeys
from airlock.signing import sshsig
from airlock.signing.evidence import DecisionEvidence, PasskeyEvidence, SshEvidence, exactly
from airlock.signing.passkey import Passkey
from airlock.signing.statement import Statement

_AT_START = "workers read airlock.toml when they start: after a change of its keys, start them again"


@dataclass(frozen=True)
class Registered:
    """The keys and passkeys that the operator registered, of all people."""

    authorized_keys: tuple[str, ...] = ()
    """Lines of SSH keys, each with its person."""
    passkeys: tuple[Passkey, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each key, as a proof gives it."""
        return (*self.authorized_keys, *map(name_of, self.passkeys))


@dataclass(frozen=True)
class Proof:
    """The result of the judgement."""

    problem: str | None
    """The reason why the evidence does not count; None if it counts."""
    made_by: str = ""
    """The line of the key, or `passkey <credential id> <person>`; empty if it does not count."""
    unknown: bool = False
    """True if the key or passkey is not in the list of that person."""

    @property
    def told(self) -> str | None:
        """The problem as a worker tells it, which knows the keys that were in its configuration when it started."""
        return f"{self.problem} ({_AT_START})" if self.unknown else self.problem


def proof_of(evidence: DecisionEvidence, statement: Statement, registered: Registered) -> Proof:
    """Return whether evidence proves that the person of a statement made it, and by which key.

    Args:
        evidence: The evidence.
        statement: What the person must have signed.
        registered: The keys that count.
    """
    match evidence:
        case SshEvidence():
            return _of_ssh(evidence, statement, registered.authorized_keys)
        case PasskeyEvidence():
            return _of_passkey(evidence, statement, registered.passkeys)


def _of_ssh(evidence: SshEvidence, statement: Statement, lines: Sequence[str]) -> Proof:
    blob = exactly(evidence.signature)
    if blob is None:
        return Proof("the signature is not base64")
    try:
        envelope = sshsig.read_envelope(blob)
        keys = [(line, read_key(line)) for line in lines]
    except (ValueError, SignatureError) as error:
        return Proof(f"the signature cannot be read: {error}")
    by = statement.by
    if not any(same_person(key.person, by) for _, key in keys):
        return Proof(f"no authorized key is listed for {by!r}", unknown=True)
    made = [(line, key) for line, key in keys if key.blob == envelope.key]
    if not made:
        return Proof(f"the signature was made by none of the keys that are listed for {by!r}", unknown=True)
    own = [(line, key) for line, key in made if same_person(key.person, by)]
    if not own:
        return Proof(f"the signature was made by the key of {made[0][1].person!r}, not by one of {by!r}")
    line, key = own[0]
    why = sshsig.problem(envelope, key, statement.text.encode())
    return Proof(None, line) if why is None else Proof(f"the signature does not count: {why}")


def _of_passkey(evidence: PasskeyEvidence, statement: Statement, registered: Sequence[Passkey]) -> Proof:
    of_person = [one for one in registered if same_person(one.person, statement.by)]
    if not of_person:
        return Proof(f"no passkey is registered for {statement.by!r}", unknown=True)
    found = next((one for one in of_person if one.credential == evidence.credential), None)
    if found is None:
        other = next((one.person for one in registered if one.credential == evidence.credential), None)
        if other is not None:
            return Proof(f"the passkey is that of {other!r}, and not one of {statement.by!r}")
        return Proof(f"the passkey is none of those that are registered for {statement.by!r}", unknown=True)
    why = passkeys.problem(evidence, found, statement.challenge)
    if why is not None:
        return Proof(f"the passkey does not count: {why}")
    return Proof(None, name_of(found))


def name_of(passkey: Passkey) -> str:
    """Return the name of a passkey in a record, as the line of an SSH key is its name."""
    return f"passkey {passkey.credential} {passkey.person}"
