"""The words about the signature of a decision: who signed it, with which kind of key, and whether it fits."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from airlock.base.keys import SignatureError, read_key
from airlock.base.text import shorten
from airlock.signing.passkey import MissingExtra, Passkey
from airlock.signing.signed_decision import SignedDecision, unproven

UNSIGNED: Final = "not signed"
OLD_FORM: Final = "signed in the older form, with an Ed25519 key"
_CREDENTIAL: Final = 16
"""Characters of a credential id that tell one passkey of a person from another."""


def fingerprint(line: str) -> str:
    """Return the fingerprint of a line of `authorized_keys`, as `ssh-keygen -l` shows it.

    Raises:
        SignatureError: If the line is no key.
    """
    return "SHA256:" + b64encode(sha256(read_key(line).blob).digest()).decode().rstrip("=")


def key_words(signed: SignedDecision, known: Sequence[Passkey] = ()) -> str:
    """Return the key that a record names: an SSH key by its fingerprint, a passkey by its domain and credential.

    Args:
        signed: The record.
        known: The passkeys of the operator's file. A passkey that is there just as it was recorded is shown with the label
            that it has there. A label that a record brings itself is not shown.
    """
    passkey = signed.passkey
    if passkey is not None:
        short = shorten(passkey.credential, _CREDENTIAL)
        label = next((one.label for one in known if one == passkey), "")
        named = f"{label!r} ({short})" if label else short
        return f"the passkey {named} of {shorten(passkey.person, 200)!r} for {shorten(passkey.rp_id, 200)}"
    try:
        key = read_key(signed.key)
        kind = "SSH key on hardware" if key.kind.startswith("sk-") else "SSH key"
        return f"the {kind} {fingerprint(signed.key)} of {shorten(key.person, 200)!r}"
    except SignatureError:
        return f"a key that cannot be read ({shorten(signed.key, 60)!r})"


def signature_words(signed: SignedDecision, known: Sequence[Passkey] = ()) -> str:
    """Return what is to be said of one signed decision. Its signature is checked against the key that was recorded."""
    try:
        why = unproven(signed)
    except MissingExtra as error:
        return f"signed with {key_words(signed, known)}, not checked here: {error}"
    return f"signed with {key_words(signed, known)}" if why is None else f"THE SIGNATURE DOES NOT FIT: {why}"


def signatures_words(
    signed: SignedDecision | None, also: tuple[SignedDecision, ...] = (), *, told_by_gate: bool = False,
    known: Sequence[Passkey] = (),
) -> str:  # fmt: skip
    """Return what is to be said of the signatures of one decision of a person.

    Args:
        signed: The signed decision; None if it carries none.
        also: The signed decisions of the other people who decided the same before.
        told_by_gate: True if a message said that the person decided it at a gate.
        known: The passkeys of the operator's file, for their labels.
    """
    if signed is None:
        return "told by the gate; no signature proves it" if told_by_gate else UNSIGNED
    said = signature_words(signed, known)
    said += "".join(f"; also by {shorten(one.statement.by, 200)!r}, {signature_words(one, known)}" for one in also)
    return f"at the gate, {said}" if told_by_gate else said
