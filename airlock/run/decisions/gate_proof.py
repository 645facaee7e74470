"""The proof of a decision at a gate that a message tells a plan: what people signed there, checked by the plan itself."""

from datetime import datetime

from airlock.admission.policy import Policy
from airlock.base.person import same_person, spellings
from airlock.run.messages import NAME_OF, Amend, Lock, Message, Unlock
from airlock.run.state import Run
from airlock.signing.signed_decision import SignedDecision, again


def gate_proof(run: Run, message: Message | Amend, policy: Policy | None, now: datetime) -> tuple[SignedDecision, ...]:
    """Return what people signed at a gate, the decision that took effect first; empty unless all of it fits.

    A message without a proof counts as before: a lock stops, and an unlock leads through the gate again. Any client can send
    either. What is recorded here is only what a registered key has signed.

    Args:
        run: The plan's run.
        message: The message.
        policy: The policy whose keys count; None if it is not known yet.
        now: UTC.
    """
    if policy is None or not isinstance(message, Lock | Unlock) or not (message.gate and message.proof):
        return ()
    found: list[SignedDecision] = []
    for told in reversed(message.proof):
        stated = told.statement
        about = (stated.namespace, stated.decision, stated.plan, stated.undo)
        if stated.gate is None or about != (run.namespace, NAME_OF[type(message)], None, None) or run.proof_load.full(now):
            return ()
        if (fits := again(told, policy.registered)) is None:
            return ()
        found.append(fits)
    if not same_person(found[0].statement.by, message.by) or len(spellings(one.statement.by for one in found)) < len(found):
        return ()
    return tuple(found)
