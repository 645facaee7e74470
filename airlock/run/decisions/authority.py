"""The authority of a person over a run: whether the policy lets that person decide, with the evidence that came along."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from airlock.admission.admitted import BOUNDED_EPOCH, SIGNED_EPOCH
from airlock.admission.decision_rules import DecisionName, DecisionRules, people_needed, refused_by, rules_for, words_of
from airlock.admission.policy import Policy
from airlock.admission.stricter import Stricter
from airlock.base.names import RESERVED, workflow_id_of
from airlock.base.person import same_person
from airlock.plans.contract import Risk
from airlock.plans.seal import names_digest
from airlock.run.audit import AuditKind
from airlock.run.messages import NAME_OF, Abort, Amend, Approve, Lock, Message, Resolve, Unlock
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run
from airlock.signing.load import TOO_MANY
from airlock.signing.nonces import Nonces
from airlock.signing.proof import proof_of
from airlock.signing.signed_decision import SignedDecision, signed_decision
from airlock.signing.statement import Statement, statement, untimely


@dataclass(frozen=True)
class Looked:
    """The result of a look at the evidence of a message."""

    problem: str | None = None
    """The reason why the evidence does not count; None if it counts, or there is none."""
    signed: SignedDecision | None = None
    """The evidence that counts."""


def statement_of(run: Run, message: Message | Amend) -> Statement | None:
    """Return what the person of a message must have signed; None if nothing was signed."""
    evidence = message.evidence
    if evidence is None:
        return None
    # a decision that names another seal is about that one, whatever is in force
    named = getattr(message, "digest", None)
    seal = run.digest if named is None or names_digest(named, run.digest) else named
    return statement(
        NAME_OF[type(message)],
        message.model_dump(mode="json", exclude={"evidence"}),
        namespace=run.namespace,
        subject=workflow_id_of(run.name),
        life=run.life,
        seal=seal,
        nonce=evidence.nonce,
        expires=evidence.expires,
    )


def look_at_evidence(run: Run, message: Message | Amend, policy: Policy | None, given: datetime, now: datetime) -> Looked:
    """Return what the evidence of a message comes to. `spend` must follow if it counts, whatever else is wrong.

    Args:
        run: The plan's run.
        message: The message.
        policy: The policy whose keys count; None if it is not known yet.
        given: The time at which the message was given, UTC.
        now: UTC.
    """
    evidence, stated = message.evidence, statement_of(run, message)
    if evidence is None or stated is None:
        return Looked()
    if policy is None or (run.admitted is not None and run.admitted.epoch < SIGNED_EPOCH):
        return Looked("this run takes no signed decisions; lock and unlock it, so that it is admitted again")
    bounded = run.admitted is None or run.admitted.epoch >= BOUNDED_EPOCH
    if why := untimely(evidence.expires, given, bounded=bounded):
        return Looked(why)
    if why := (run.nonces or Nonces()).problem(run.name, run.life, evidence.nonce, message.by):
        return Looked(why)
    if run.proof_load.full(now):
        return Looked(TOO_MANY)
    proof = proof_of(evidence, stated, policy.registered)
    if proof.told is not None:
        return Looked(proof.told)
    return Looked(signed=signed_decision(stated, evidence, proof.made_by, policy.passkeys))


def spend(run: Run, signed: SignedDecision) -> None:
    """Use up the nonce of a signed decision, also of one that is refused: a refused one must not count later."""
    stated = signed.statement
    run.nonces = (run.nonces or Nonces()).spend(run.name, run.life, stated.nonce, stated.by)


def refusal(run: Run, message: Message | Amend, rules: Stricter | None, also: Collection[Risk] = ()) -> str | None:
    """Return the reason why the policies do not let the person of a message decide; None if they do.

    Args:
        run: The plan's run.
        message: The message, whose evidence is good if it has any.
        rules: The rules of the plan and of today; None if neither is known yet.
        also: The risks that it is about besides those of the run's steps: those of the steps of an amendment.
    """
    if rules is None or is_of_airlock(message):
        return None
    problem = refusal_by(run, message, rules.policy, also)
    if problem is None or rules.today == rules.plan:
        return problem
    whose = "today's policy" if refusal_by(run, message, rules.plan, also) is None else "the plan's policy"
    return f"{whose}: {problem}"


def refusal_by(run: Run, message: Message | Amend, policy: Policy, also: Collection[Risk] = ()) -> str | None:
    """Return the reason why one policy does not let the person of a message decide; None if it does."""
    name = NAME_OF[type(message)]
    for rule in rules_for(policy.decisions, name, {*risks_of(run, message), *also}):
        if why := refused_by(rule, policy.roles, message.by, _kind(run, message)):
            return why
    return _not_apart(run, message, policy)


def asked_of_rollback(run: Run) -> str:
    """Return what the plan's policy asks of the person who rolls back, in words; empty if anyone may.

    Any client can cancel a workflow, and no person is known to have done it.
    """
    if run.admitted is None:
        return ""
    rules = rules_for(
        run.admitted.policy.decisions, DecisionName.ROLLBACK, {row.contract.risk for row in run.admitted.steps.values()}
    )
    words = words_of(rules)
    if any(isinstance(rule, DecisionRules) and rule.not_requester for rule in rules):
        words = f"{words}, by a person who has not requested this".removeprefix(", ")
    return words


def is_of_airlock(message: Message | Amend) -> bool:
    """Return True for what no person decides here: Airlock itself does, or a person has decided it at a gate."""
    return message.by in RESERVED or (isinstance(message, Lock | Unlock) and message.gate)


def voices_needed(run: Run, message: Message, policy: Policy) -> int:
    """Return how many people must decide the same."""
    return people_needed(policy.decisions, NAME_OF[type(message)], risks_of(run, message))


def risks_of(run: Run, message: Message | Amend) -> Collection[Risk]:
    """Return the risks of the steps that a decision is about; every risk while they are not known."""
    if isinstance(message, Approve) and run.sealed is not None:
        return risks_of_seal(run.sealed, message.steps)
    if run.admitted is None:
        return frozenset(Risk)
    if isinstance(message, Resolve) and message.step in run.admitted.steps:
        return {run.admitted.contract(message.step).risk}
    return {row.contract.risk for row in run.admitted.steps.values()}


def risks_of_seal(sealed: Sealed, steps: Collection[str] | None) -> Collection[Risk]:
    """Return the risks of the steps that may go live, or of some of them; of an undo those that it undoes."""
    if sealed.undo is not None:
        return {Risk(step.risk) for step in sealed.undo.steps if step.id in sealed.order}
    chosen = set(sealed.live_steps if steps is None else steps)
    return {Risk(step.risk) for step in sealed.steps if step.id in chosen}


def _kind(run: Run, message: Message | Amend) -> str | None:
    """Return the kind of evidence of a message; None without any.

    A run that takes no signed decisions takes an approval in the older form for one that is signed with an SSH key.
    """
    if message.evidence is not None:
        return message.evidence.kind
    old = run.admitted is not None and run.admitted.epoch < SIGNED_EPOCH
    return "ssh" if old and isinstance(message, Approve) and message.signature is not None else None


def _not_apart(run: Run, message: Message | Amend, policy: Policy) -> str | None:
    """Return the reason why a person may not make two decisions, or one about an own plan; None if there is none."""
    name = DecisionName(NAME_OF[type(message)])
    rules = policy.decisions.get(name)
    if rules is None:
        return None
    withdraws = isinstance(message, Abort) and message.withdrawn
    if rules.not_requester and not withdraws and same_person(message.by, run.requester):
        return f"{message.by!r} requested this"
    for entry in run.audit if rules.not_after else ():
        # a message in the name of a gate proves nothing about the person it names
        made = entry.kind is AuditKind.DECISION and entry.what in rules.not_after and not entry.gate
        if made and same_person(entry.by, message.by):
            return f"{message.by!r} has decided {entry.what} here, and another person must decide this"
    return None
