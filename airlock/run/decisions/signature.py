"""Signed approvals in the older form: Ed25519 over plan, digest, approver and steps."""

import base64
import binascii
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from airlock.admission.policy import SignatureRule
from airlock.base.canonical import canonical_json
from airlock.base.keys import PrivateKey, SignatureError, read_key
from airlock.base.person import same_person
from airlock.run.messages import Approve
from airlock.run.sealing.sealed import Sealed


def signed_text(plan_id: str, approval: Approve, digest: str) -> bytes:
    """Return the text that an approver signs: plan, whole digest, approver and steps, as canonical JSON."""
    steps = None if approval.steps is None else sorted(approval.steps)
    return canonical_json(
        {"airlock": "approve/1", "plan_id": plan_id, "digest": digest, "by": approval.by, "steps": steps}
    ).encode()


def sign(key: PrivateKey, plan_id: str, approval: Approve, digest: str) -> str:
    """Return the signature of an approval, base64.

    Args:
        key: The private key of the approver.
        plan_id: The plan.
        approval: The approval to sign; its own `signature` is ignored.
        digest: The whole digest of the seal, 64 hex characters.

    Raises:
        SignatureError: If the key is not an Ed25519 key.
    """
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError("the key is not an Ed25519 key; make one with: ssh-keygen -t ed25519")
    return base64.b64encode(key.sign(signed_text(plan_id, approval, digest))).decode()


def must_sign(sealed: Sealed, approval: Approve, rule: SignatureRule) -> bool:
    """Return True if an approval must carry a signature under a rule. A signature that is there must always be good."""
    if approval.signature is not None or rule is SignatureRule.ALWAYS:
        return True
    if rule is SignatureRule.NEVER:
        return False
    if sealed.undo is not None:
        return any(step.risk == "HIGH" for step in sealed.undo.steps if step.id in sealed.order)
    chosen = set(sealed.live_steps if approval.steps is None else approval.steps)
    return any(step.risk == "HIGH" for step in sealed.steps if step.id in chosen)


def signature_refusal(
    plan_id: str, approval: Approve, digest: str, authorized_keys: Iterable[str], *, any_spelling: bool = True
) -> str | None:
    """Return the reason why the signature of an approval does not count; None if it counts.

    Args:
        plan_id: The plan.
        approval: The approval, with its signature.
        digest: The whole digest of the seal.
        authorized_keys: The keys of the policy, each with its approver.
        any_spelling: False if a key counts only for the approver as its line spells the name.
    """
    if approval.signature is None:
        return "the policy requires a signature here: approve with --sign-key, using a key listed in authorized_keys"
    try:
        signature = base64.b64decode(approval.signature, validate=True)
    except (binascii.Error, ValueError):
        return "the signature is not base64"
    try:
        keys = [
            key.public
            for key in map(read_key, authorized_keys)
            if key.person == approval.by or (any_spelling and same_person(key.person, approval.by))
        ]
    except SignatureError as error:
        return f"authorized_keys of the policy cannot be read: {error}"
    if not keys:
        return f"no authorized key is listed for {approval.by!r}"
    text = signed_text(plan_id, approval, digest)
    return None if any(_verifies(key, signature, text) for key in keys) else "the signature does not fit"


def signing_key(plan_id: str, approval: Approve, digest: str, authorized_keys: Iterable[str]) -> str | None:
    """Return the line of `authorized_keys` whose key made the signature of an approval; None if none of them did.

    Args:
        plan_id: The plan.
        approval: The approval, with its signature.
        digest: The whole digest of the seal.
        authorized_keys: The keys of the policy, each with its approver.
    """
    if approval.signature is None:
        return None
    return next((line for line in authorized_keys if signature_refusal(plan_id, approval, digest, (line,)) is None), None)


def _verifies(key: Ed25519PublicKey | EllipticCurvePublicKey, signature: bytes, text: bytes) -> bool:
    if not isinstance(key, Ed25519PublicKey):
        return False  # another kind of key signs decisions, see `airlock.signing`
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
