"""The check of signed decisions, from the files alone: each statement is what the plan recorded, and its evidence fits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from airlock.base.names import UNDO_PREFIX
from airlock.base.person import spellings
from airlock.base.text import shorten
from airlock.export.approvals import SealLine
from airlock.export.lines import AuditEvent
from airlock.export.seal_lines import keys_of
from airlock.run.audit import AuditKind
from airlock.signing.passkey import MissingExtra
from airlock.signing.signed_decision import SignedDecision, unproven
from airlock.signing.statement import Statement

_COMPARED: Final = 100
"""The characters of a reason that the record has as they were sent; it cuts long ones."""


def signed_faults(
    plan: tuple[str, str], events: Sequence[AuditEvent], seals: Sequence[SealLine], notes: list[str]
) -> Iterator[tuple[str, bool]]:
    """Yield each error in the signed decisions of a plan, as a text and True; and each signature that fits, as False.

    Args:
        plan: The plan id and the workflow id.
        events: The plan's own events.
        seals: The seals of the plan.
        notes: What could not be checked is added here.
    """
    policies = {seal.digest: seal.policy for seal in seals}
    for event in events:
        if event.signed is None:
            continue
        stated = _not_told(event) if event.gate else _not_recorded(plan, event, event.signed.statement)
        wrong = [*stated, *(why for one in (event.signed, *event.also) for why in _unproven(one, notes))]
        for message in wrong:
            yield f"entry {event.seq}: signed: {message}", True
        for signed in () if wrong else (event.signed, *event.also):
            yield "", False
            if not any(_registers(policy, signed) for policy in policies.values()):
                by = signed.statement.by
                notes.append(f"{plan[1]}: the key of {by!r} is in no sealed policy, and no other is in the record")


def _not_recorded(plan: tuple[str, str], event: AuditEvent, stated: Statement) -> Iterator[str]:
    plan_id, workflow_id = plan
    subject = (None, plan_id) if workflow_id.startswith(UNDO_PREFIX) else (plan_id, None)
    if (stated.plan, stated.undo) != subject or stated.gate is not None:
        yield f"the statement is not about {workflow_id}"
    said = (stated.decision, stated.by, stated.step or stated.to_step, stated.outcome)
    if said != (event.what, event.by, event.step, event.answer):
        yield "the statement is not the decision that was recorded"
    # the request for an undo names the seal of the plan that has ended, before the undo has one of its own
    asks = stated.undo is not None and stated.decision == "rollback" and event.digest is None
    if stated.decision != "lock" and not asks and stated.digest != event.digest:
        yield "the statement is about another seal"
    if event.kind is AuditKind.DECISION and not event.reason.startswith(shorten(stated.reason)[:_COMPARED]):
        yield "the statement has another reason"


def _not_told(event: AuditEvent) -> Iterator[str]:
    """Yield what a decision at a gate, of which a message told the plan, was not."""
    every = (*((event.signed,) if event.signed else ()), *event.also)
    for signed in every:
        stated = signed.statement
        if stated.gate is None or (stated.plan, stated.undo) != (None, None):
            yield "the statement is not about a gate"
        if stated.decision != event.what:
            yield "the statement is not the decision that was recorded"
    if len(spellings(signed.statement.by for signed in every)) < len(every):
        yield "one person has signed it twice"
    if every and every[0].statement.by != event.by:
        yield "the statement is by another person"
    if every and shorten(every[0].statement.reason)[:_COMPARED] not in event.reason:
        yield "the statement has another reason"


def _unproven(signed: SignedDecision, notes: list[str]) -> Iterator[str]:
    try:
        why = unproven(signed)
    except MissingExtra as error:
        notes.append(f"a passkey of {signed.statement.by!r} cannot be checked here: {error}")
        return
    if why is not None:
        yield why


def _registers(policy: Mapping[str, Any] | None, signed: SignedDecision) -> bool:
    if policy is None:
        return False
    if signed.passkey is None:
        return signed.key in keys_of(policy)
    return signed.passkey.model_dump(mode="json") in policy.get("passkeys", ())
