"""The content of the seal: everything that the approver is shown, as data."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue

from airlock.admission.admitted import DEMANDS_EPOCH, Admitted
from airlock.admission.ceiling import Ceiling
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.decision_rules import ApprovalDemand, demands_of_approval, said_of_approval
from airlock.admission.policy import Policy
from airlock.base.model import WireModel, is_empty
from airlock.base.names import plan_workflow_id, undo_workflow_id
from airlock.plans.applied_rule import AppliedRule, Effect, with_effect
from airlock.plans.contract import Contract, Mode, Reversibility
from airlock.plans.drift import overlap
from airlock.plans.outcome import EarlyRead, StepPreview
from airlock.plans.plan import Plan
from airlock.plans.schedule import live_order
from airlock.run.undo import UndoContent

MAX_SHOWN_READ = 2_000
"""Bytes of JSON up to which a seal holds what was read; of more it holds the digest."""


class SealedRead(EarlyRead):
    """The output of a step that was read before the preview, as the approver sees it."""

    size: int
    """The size of the output, in bytes of JSON."""
    output: JsonValue = None
    """The output; None if it is longer than `MAX_SHOWN_READ`."""


class SealedStep(WireModel):
    """One step as the approver sees it."""

    id: str
    agent: str
    tool: str
    args: dict[str, JsonValue]
    after: tuple[str, ...]
    confidence: float
    risk: str
    reversibility: str
    contract_hash: str
    ceiling: Mode
    reasons: tuple[str, ...]
    preview: StepPreview | None = None
    undo: str = ""
    already_live: bool = False
    """True if the step went live under an earlier seal; it is not repeated."""
    approval_waived: bool = False
    moved_from: str | None = None
    """The agent that the plan names, if a conflict moved the step to another one, `agent`."""
    dedupe_key: str | None = None
    """The key that replaces the arguments in the decision whether another plan made the same call."""
    read: SealedRead | None = Field(default=None, exclude_if=is_empty)
    """Set if the step was read before the preview."""
    may_drift: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The arguments whose rule is approved, not their value: the call may find another one there."""
    rules: tuple[AppliedRule, ...] = Field(default=(), exclude_if=is_empty)
    """The rules of the policy that apply to the step, in the order of their ids."""
    proposed_by: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The people, other than the requester, whose amendments this step comes from; their approval does not count for it."""


class SealedAmendment(WireModel):
    """The amendment that a seal comes from, as the approver sees it."""

    by: str
    reason: str


class Sealed(WireModel):
    """Everything that the approver is shown. Its digest is the seal; the text of the preview is made from nothing else."""

    plan_id: str
    submitted_at: str
    goal: str
    requested_by: str
    phase21_plan_id: str | None = None
    phase22_validation_id: str | None = None
    deadline: str | None = None
    steps: tuple[SealedStep, ...]
    order: tuple[str, ...]
    point_of_no_return: str | None = None
    policy_hash: str
    approvals_required: int
    approvers: tuple[str, ...] = ()
    signature_required: str = "never"
    approval_rules: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The policy's further rules for approvals, in words: only in seals of rules before `DEMANDS_EPOCH`."""
    approval_demands: tuple[ApprovalDemand, ...] = Field(default=(), exclude_if=is_empty)
    """The policy's further demands on approvals."""
    approval_timeout: str = "24h"
    approval_valid_for: str | None = Field(default=None, exclude_if=is_empty)
    rolls_back_on_failure: bool = True
    replaces: str | None = None
    """The digest of the previous seal: it makes an approval count once, even if nothing else has changed."""
    life: str = ""
    """The life of the run, which ends with a reset: an approval of an earlier life does not count in the next one."""
    amended: SealedAmendment | None = Field(default=None, exclude_if=is_empty)
    """Set if an amendment is all that lies between the seal that this one `replaces` and this one."""
    undo: UndoContent | None = None
    """Set for the undo of a plan that has ended; such a seal has no `steps` of its own."""
    conflicts: tuple[Conflict, ...] = ()
    rule_reasons: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)
    """The operator's reason for each rule of the policy that has one and applies to a step, by its id."""

    @property
    def workflow_id(self) -> str:
        """The workflow that made this seal: the plan, or the undo of a plan that has ended."""
        return plan_workflow_id(self.plan_id) if self.undo is None else undo_workflow_id(self.plan_id)

    @property
    def steps_to_approve(self) -> tuple[SealedStep, ...]:
        """The steps that may go live once approved, in the order of the preview."""
        return tuple(step for step in self.steps if step.ceiling is Mode.LIVE and not step.already_live)

    @property
    def live_steps(self) -> tuple[str, ...]:
        """The ids of `steps_to_approve`."""
        return tuple(step.id for step in self.steps_to_approve)


def sealed_content(
    plan: Plan,
    admitted: Admitted,
    ceilings: Mapping[str, Ceiling],
    previews: Mapping[str, StepPreview],
    live: tuple[str, ...],
    submitted_at: str,
) -> Sealed:
    """Return the content of a seal.

    Args:
        plan: The plan.
        admitted: Its frozen contracts and policy.
        ceilings: The ceiling of every step after the previews.
        previews: The previews of the dry runs, by step.
        live: The steps that are live already.
        submitted_at: The time at which the run was submitted, UTC. It binds an approval to this run of the plan.
    """
    policy = admitted.policy
    by_id, gone_live = {step.id: step for step in plan.steps}, frozenset(live)
    wanted = [step for step in admitted.order if ceilings[step].mode is Mode.LIVE and step not in gone_live]
    irreversible = frozenset(step for step in wanted if admitted.contract(step).irreversible)
    order = live_order(admitted.parents, wanted, live, irreversible)
    return Sealed(
        plan_id=plan.plan_id,
        submitted_at=submitted_at,
        goal=plan.goal,
        requested_by=plan.requested_by,
        phase21_plan_id=plan.phase21_plan_id,
        phase22_validation_id=plan.phase22_validation_id,
        deadline=plan.deadline,
        steps=tuple(
            SealedStep(
                id=step,
                agent=row.agent or by_id[step].agent,
                tool=by_id[step].tool,
                args=row.args if row.args is not None else by_id[step].args,
                after=row.parents,
                confidence=by_id[step].confidence,
                risk=row.contract.risk.value,
                reversibility=row.contract.reversibility.value,
                contract_hash=row.contract_hash,
                ceiling=ceilings[step].mode,
                reasons=ceilings[step].reasons,
                preview=previews.get(step),
                undo=undo_sentence(row.contract, previews.get(step)),
                already_live=step in gone_live,
                approval_waived=waives(policy, row.contract, rules_left(row.rules, previews.get(step))),
                dedupe_key=by_id[step].dedupe_key,
                may_drift=_may_drift(admitted, row.contract, previews.get(step)),
                moved_from=by_id[step].agent if row.agent is not None else None,
                rules=rules_left(row.rules, previews.get(step)),
            )
            for step, row in admitted.steps.items()
        ),
        order=order,
        point_of_no_return=next((step for step in order if step in irreversible), None),
        policy_hash=admitted.policy_hash,
        approvals_required=policy.approvals_of_any,
        **approval_rules(policy, admitted.epoch),
        approvers=policy.approvers,
        signature_required=policy.signature_required.value,
        approval_timeout=policy.approval_timeout,
        approval_valid_for=policy.approval_valid_for,
        rolls_back_on_failure=policy.enable_rollback_on_failure,
        conflicts=admitted.conflicts,
        rule_reasons=_reasons(admitted, previews),
    )


def approval_rules(policy: Policy, epoch: int) -> dict[str, Any]:
    """Return the fields of a seal that hold what a policy asks of its approvals, in the form of its run."""
    if epoch < DEMANDS_EPOCH:
        return {"approval_rules": said_of_approval(policy.decisions)}
    return {"approval_demands": demands_of_approval(policy.decisions)}


def _reasons(admitted: Admitted, previews: Mapping[str, StepPreview]) -> dict[str, str]:
    applied = {
        rule.rule for step, row in admitted.steps.items() if row.rules for rule in rules_left(row.rules, previews.get(step))
    }
    return {rule: reason for rule, reason in admitted.policy.rule_reasons.items() if rule in applied}


def _may_drift(admitted: Admitted, contract: Contract, preview: StepPreview | None) -> tuple[str, ...]:
    """Return the allowed arguments of a call that come from another step; no other argument can differ."""
    if preview is None or admitted.epoch < 1:
        return ()
    allowed = sorted({*contract.may_drift, *admitted.policy.may_drift.get(contract.tool, ())})
    return tuple(path for path in allowed if any(overlap(path, derived) for derived in preview.derived))


def undo_sentence(contract: Contract, preview: StepPreview | None) -> str:
    """Return one sentence about the undo of a step."""
    match contract.reversibility:
        case Reversibility.READ_ONLY:
            return "nothing to undo: it only reads"
        case Reversibility.IRREVERSIBLE:
            return "CANNOT be undone"
        case _:
            sentence = preview.undo if preview else None
            return sentence or f"{contract.tool} undoes it from what the live call leaves"


def rules_left(applied: tuple[AppliedRule, ...], preview: StepPreview | None) -> tuple[AppliedRule, ...]:
    """Return the rules that apply to a step after its preview: without those that hung on a value which it foresaw."""
    cleared = frozenset(preview.cleared_rules if preview is not None else ())
    return tuple(rule for rule in applied if not (rule.unknown and rule.rule in cleared))


def waives(policy: Policy, contract: Contract, rules: tuple[AppliedRule, ...]) -> bool:
    """Return True if a live call needs no approval: no rule asks, and the contract, the policy or a rule waives it."""
    if with_effect(rules, Effect.ASK):
        return False
    if policy.waives_approval(contract) or not contract.approval_required:
        return True
    return bool(with_effect(rules, Effect.ALLOW)) and policy.may_waive(contract)


class ReplacedSeal(WireModel):
    """An earlier seal of a run, and the paths at which the seal after it differs."""

    digest: str
    why: str
    changed: tuple[str, ...] = ()
