"""The judgement of a request for an undo after the end: a rollback that is signed before the undo has a run."""

from datetime import datetime

from airlock.admission.admitted import UNDO_REQUEST_EPOCH
from airlock.admission.decision_rules import DecisionName, Demand, refused_by, rules_for
from airlock.admission.policy import Policy
from airlock.base.names import undo_workflow_id
from airlock.base.person import same_person
from airlock.run.audit import AuditKind
from airlock.run.decisions.authority import Looked
from airlock.run.decisions.consequences import request_message
from airlock.run.messages import Rollback
from airlock.run.state import Run
from airlock.run.undo import EndedPlan
from airlock.signing.nonces import request_nonce
from airlock.signing.proof import proof_of
from airlock.signing.signed_decision import signed_decision
from airlock.signing.statement import statement, untimely

_ROLLBACK = DecisionName.ROLLBACK


def judge_request(run: Run, ended: EndedPlan | None, now: datetime) -> str | None:
    """Judge the request for an undo and record the verdict. Return the reason why it does not count; None if it does.

    The policy is that of the worker which recovered the ended plan. A request that is neither signed nor ruled leaves no
    entry: another person must approve it in any case.

    Args:
        run: The run of the undo, whose policy and calls are known.
        ended: What a signed request must be about; None if it is not signed.
        now: UTC.
    """
    assert run.undoing is not None
    admitted, message = run.contracts(), request_message(run.undoing)
    if admitted.epoch < UNDO_REQUEST_EPOCH:
        return None
    rules = admitted.policy.decisions.get(_ROLLBACK)
    if rules is None and message.evidence is None:
        return None
    looked = _looked(run, message, ended, admitted.policy)
    why = looked.problem or _refusal(run, message, admitted.policy)
    run.record(
        AuditKind.DECISION if why is None else AuditKind.REFUSED,
        _ROLLBACK.value,
        now,
        by=message.by,
        reason=message.reason if why is None else why,
        step=message.to_step,
        signed=looked.signed,
    )
    return why


def _looked(run: Run, message: Rollback, ended: EndedPlan | None, policy: Policy) -> Looked:
    """Return what the evidence of a request comes to."""
    evidence, undo_id = message.evidence, undo_workflow_id(run.plan.plan_id)
    if evidence is None:
        return Looked()
    if ended is None:
        return Looked("a worker of an earlier version looked at the ended plan, which takes no signed requests: ask again")
    stated = statement(
        _ROLLBACK.value,
        message.model_dump(mode="json", exclude={"evidence"}),
        namespace=run.namespace,
        subject=undo_id,
        life=ended.life,
        seal=ended.digest,
        nonce=evidence.nonce,
        expires=evidence.expires,
    )
    if why := untimely(evidence.expires, run.submitted_at, bounded=True):
        return Looked(why)
    if evidence.nonce != request_nonce(undo_id, ended.life, ended.previous):
        return Looked("its nonce is not one of this request: an undo was requested since, or the plan was reset; sign again")
    proof = proof_of(evidence, stated, policy.registered)
    if proof.told is not None:
        return Looked(proof.told)
    return Looked(signed=signed_decision(stated, evidence, proof.made_by, policy.passkeys))


def _refusal(run: Run, message: Rollback, policy: Policy) -> str | None:
    """Return the reason why the policy does not let this person ask; None if it does. One person asks, others approve."""
    risks = {row.contract.risk for row in run.contracts().steps.values()}
    kind = message.evidence.kind if message.evidence is not None else None
    for rule in rules_for(policy.decisions, _ROLLBACK.value, risks):
        if why := refused_by(rule, policy.roles, message.by, kind):
            again = f"; ask again: {_command(run, message)}" if kind is None and rule.evidence in _BY_COMMAND else ""
            return f"{_ROLLBACK.value}: {why}{again}"
    rules = policy.decisions.get(_ROLLBACK)
    if rules is not None and rules.not_requester and same_person(message.by, run.plan.requested_by):
        return f"{_ROLLBACK.value}: {message.by!r} requested this plan"
    return None


_BY_COMMAND = (Demand.SIGNED, Demand.SSH)
"""The evidence that a command can make."""


def _command(run: Run, message: Rollback) -> str:
    to_step = f" --to-step {message.to_step}" if message.to_step is not None else ""
    return f"airlock rollback {run.plan.plan_id} --reason ...{to_step} --sign-key FILE"
