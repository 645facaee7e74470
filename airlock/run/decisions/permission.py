"""The judgement of the live role about an approval: the same rules again, under the stricter of two policies."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from pydantic import ValidationError

from airlock.admission.admitted import EPOCH, Admitted, AdmittedStep
from airlock.admission.budget import budget_problems
from airlock.admission.ceiling import LIVE_FROM
from airlock.admission.policy import Policy, SignatureRule
from airlock.admission.secret_grants import secret_problems
from airlock.admission.stricter import stricter
from airlock.base.errors import ContractError
from airlock.base.text import listed, shorten
from airlock.gates.protocol import EntryRefused
from airlock.plans.applied_rule import Effect, with_effect, with_reason
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode, Reversibility, Risk
from airlock.plans.plan import Plan, Step, seconds
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.decisions.approval import approved_steps, judge_approval, not_allowed, still_asked
from airlock.run.decisions.approval_age import expiry
from airlock.run.decisions.authority import risks_of_seal
from airlock.run.decisions.evidence import Evidence
from airlock.run.decisions.sealed_rules import Rulings, denied, rulings, with_rules
from airlock.run.decisions.vote_scope import named_seal, people
from airlock.run.handed_back import SINCE_EPOCH
from airlock.run.sealing.earlier_seal import EarlierSeal, chain_problem, proven_chain
from airlock.run.sealing.sealed import Sealed, SealedStep
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from airlock.run.undo import Undoing

STALE: Final = "stale"
"""The seal does not fit: it is previewed and approved again."""
UNAPPROVED: Final = "unapproved"
"""A contract, a policy or the votes do not allow it: it is admitted, previewed and approved again."""
NEVER: Final = "never"
"""The policy allows no live call at all."""
ELSEWHERE: Final = "elsewhere"
"""This worker has another contract of a call; another worker may have the one that was approved."""
AGAIN: Final = "again"
"""The request itself proves nothing: the run asks again, with its evidence."""

_CLOCKS_APART: Final = timedelta(minutes=1)
"""The difference between two clocks of Temporal's servers that is no reason to doubt a vote."""
_TODAY: Final = "today's policy"
_PLAN: Final = "the plan's policy"


@dataclass(frozen=True)
class Permission:
    """The calls that the evidence allows."""

    steps: tuple[SealedStep, ...]
    """The steps that may be called, none of which is live."""
    until: datetime | None
    """The time from which it must be asked for again, UTC: the approval or the plan's deadline ends; None for no end."""


def examine(
    evidence: Evidence, today: Policy, catalogue: Catalogue, workflow_id: str, now: datetime, namespace: str = ""
) -> Permission | EntryRefused:
    """Return what the evidence allows under the stricter of the plan's policy and today's, or the refusal.

    Args:
        evidence: The evidence, from a worker that is not believed.
        today: The policy of this worker.
        catalogue: The tools of this worker.
        workflow_id: The workflow that asks.
        now: UTC.
        namespace: The namespace of Temporal, which signed approvals name.
    """
    if why := _seal_problem(evidence, workflow_id):
        return EntryRefused(kind=STALE, why=why, policy=today.digest())
    if evidence.policy.digest() != evidence.sealed.policy_hash:
        why = "the plan's policy is not the one that was sealed"
        return EntryRefused(kind=UNAPPROVED, why=why, policy=today.digest())
    # first: the contracts of another generation say nothing about what was approved
    if evidence.epoch >= SINCE_EPOCH and (why := "; ".join(_other_contracts(evidence, catalogue))):
        return EntryRefused(kind=ELSEWHERE, why=shorten(why), policy=today.digest())
    strict = stricter(evidence.policy, today).policy
    for objection in _objections(evidence, strict, catalogue, now, namespace):
        # today's policy refuses what the plan's own policy, with the same votes and steps, does not object to
        known = {other.about for other in _objections(evidence, evidence.policy, catalogue, now, namespace)}
        whose, policy = (_PLAN, evidence.policy) if objection.about in known else (_TODAY, today)
        return EntryRefused(kind=objection.kind, why=shorten(f"{whose}: {objection.why}"), policy=policy.digest())
    if why := "; ".join((*_low_ceilings(evidence), *_other_contracts(evidence, catalogue))):
        return EntryRefused(kind=UNAPPROVED, why=shorten(why), policy=today.digest())
    return Permission(steps=tuple(_open_steps(evidence)), until=_until(evidence, strict))


def lane_objection(steps: Iterable[SealedStep], evidence: Evidence, today: Policy, catalogue: Catalogue) -> str:
    """Return the reason why calls must not be made before the preview, by the contracts and the policy of this worker.

    Args:
        steps: The steps that the evidence allows, whose contracts are those of this worker.
        evidence: The evidence.
        today: This worker's policy.
        catalogue: This worker's tools.
    """
    strict = stricter(evidence.policy, today).policy
    if not strict.read_lane:
        return "this worker's policy, or the plan's, has no read_lane"
    for step in steps:
        contract = _contract_now(step, catalogue)
        if contract is None or not strict.reads_early(contract):
            return f"step {step.id!r} may not be made before the preview: {step.tool} is no LOW risk read without approval"
    rules = rulings(evidence, strict, partial(_contract_now, catalogue=catalogue))
    asking = next((step for step, applied in rules.items() if with_effect(applied, Effect.ASK)), None)
    return "" if asking is None else f"step {asking!r} may not be made before the preview: a rule asks people about it"


def _seal_problem(evidence: Evidence, workflow_id: str) -> str:
    sealed = evidence.sealed
    if seal(sealed) != evidence.digest:
        return "the digest is not that of the sealed content"
    if sealed.workflow_id != workflow_id:
        return f"the sealed content is that of {sealed.workflow_id}"
    if why := chain_problem(evidence.earlier, sealed):
        return why
    if unknown := set(evidence.approved) - {*sealed.live_steps, *(sealed.order if sealed.undo else ())}:
        return f"step {sorted(unknown)[0]!r} is not sealed as a step that may go live"
    return ""


@dataclass(frozen=True)
class _Objection:
    """One reason of one policy."""

    kind: str
    about: str
    """The vote, the step or the rule; two policies that object to the same thing word it differently."""
    why: str


def _objections(
    evidence: Evidence, policy: Policy, catalogue: Catalogue, now: datetime, namespace: str
) -> Iterator[_Objection]:
    if policy.dry_run_only:
        yield _Objection(NEVER, "dry_run_only", "it allows dry runs only (dry_run_only)")
    rules = rulings(evidence, policy, partial(_contract_now, catalogue=catalogue))
    for step, rule in denied(rules):
        yield _Objection(
            UNAPPROVED, f"rule {rule.rule} {step}", f"step {step!r} cannot go live: {with_reason(rule, policy.rule_reasons)}"
        )
    yield from _vote_objections(evidence, policy, catalogue, now, rules, namespace)
    yield from _step_objections(evidence, policy, catalogue)


def _vote_objections(
    evidence: Evidence, policy: Policy, catalogue: Catalogue, now: datetime, rules: Rulings, namespace: str
) -> Iterator[_Objection]:
    current = EarlierSeal(digest=evidence.digest, sealed=evidence.sealed, sealed_at=evidence.sealed_at)
    voting = partial(_voting, epoch=evidence.epoch, policy=policy, catalogue=catalogue, namespace=namespace)
    run = voting(current, rules=rules)
    run.earlier = proven_chain(evidence.earlier, evidence.sealed)
    before = {each.digest: voting(each, rules={}) for each in run.earlier}
    for vote in evidence.votes:
        named = named_seal(run, vote.approval)
        judge = run if named is None else before.get(named[0], run)  # each vote is judged by the seal that it names
        verdict = judge_approval(judge, vote.approval, vote.at)
        why = "" if verdict.accepted else verdict.reason
        why = why or ("" if judge is run else not_allowed(run, vote.approval.by)) or _too_early(vote, now)
        if not why:
            judge.votes = (*judge.votes, vote)
            run.votes = run.votes if judge is run else (*run.votes, vote)
        else:
            why = f"the approval by {vote.approval.by!r} does not count: {why}"
            yield _Objection(UNAPPROVED, f"vote {vote.approval.by}", why)
    agreed = set(approved_steps(run))
    if missing := [step for step in evidence.approved if step not in agreed]:
        number = len(people(run, run.votes))
        needed = policy.approvals_of(risks_of_seal(evidence.sealed, missing))
        why = f"step {', '.join(missing[:5])} is not approved: {number} of {needed} votes count"
        if asked := still_asked(run, run.votes, policy):
            words = listed([need.phrase(number) for need, number in asked.items()])
            why = f"step {', '.join(missing[:5])} is not approved: still needs {words}"
        yield _Objection(UNAPPROVED, "quorum", why)
    if (until := expiry(evidence.votes, policy.approval_valid_for_seconds)) is not None and now >= until:
        age = policy.approval_valid_for or policy.approval_timeout
        yield _Objection(UNAPPROVED, "age", f"the approval is older than {age} (approval_valid_for)")


def _too_early(vote: Vote, now: datetime) -> str:
    """Return the reason why a vote claims a time that is not there yet; empty if it does not. The time is not signed."""
    if vote.at <= now + _CLOCKS_APART:
        return ""
    return f"it was given after {now:%Y-%m-%d %H:%M:%S} UTC, the time of its examination"


_ANY_CALL: Final = AdmittedStep(
    contract=Contract(tool="any", risk=Risk.LOW, reversibility=Reversibility.READ_ONLY), contract_hash=""
)
"""Stands for every call while votes are judged: the rules of approval read the seal, not the contracts."""


def _voting(about: EarlierSeal, *, epoch: int, policy: Policy, catalogue: Catalogue, rules: Rulings, namespace: str) -> Run:
    """Return a run that waits for the votes for a seal, so that the rules of approval exist once."""
    sealed, began = about.sealed, about.sealed_at
    agents = [(step.id, agent) for step in sealed.steps for agent in {step.agent, step.moved_from or step.agent}]
    agents += [(step.id, step.agent) for step in (sealed.undo.steps if sealed.undo else ())]
    steps = tuple(Step.model_construct(id=step, agent=agent, tool="", args={}, confidence=0.0) for step, agent in agents)
    plan = Plan.model_construct(plan_id=sealed.plan_id, goal="", requested_by=sealed.requested_by, steps=steps)
    undoing = None if sealed.undo is None else Undoing(by=sealed.undo.by, reason=sealed.undo.reason)
    rows = {step.id: _ANY_CALL for step in steps}
    submitted_at = datetime.fromisoformat(sealed.submitted_at)
    epoch = min(max(epoch, 1), EPOCH)  # who votes is judged by the rules of today, the form of a vote by the run's
    known = partial(_contract_now, catalogue=catalogue)
    return Run.model_construct(
        plan=plan, submitted_at=submitted_at, since=submitted_at, state=State.AWAITING_APPROVAL, undoing=undoing,
        admitted=Admitted(steps=rows, policy=policy, policy_hash="", catalogue_hash="", epoch=epoch),
        sealed=_at_its_risk(with_rules(sealed, policy, known, rules), policy, catalogue), digest=about.digest,
        namespace=namespace, life=sealed.life,
        expires_at=None if began is None else began + timedelta(seconds=policy.approval_timeout_seconds),
    )  # fmt: skip


def _at_its_risk(sealed: Sealed, policy: Policy, catalogue: Catalogue) -> Sealed:
    """Return the seal with the risks of this worker's contracts, where the rules of approvals depend on risks."""
    if policy.signature_required is not SignatureRule.HIGH and "approve" not in policy.decisions:
        return sealed
    found = ((step, _contract_now(step, catalogue)) for step in sealed.steps)
    steps = tuple(step if now is None else step.model_copy(update={"risk": now.risk.value}) for step, now in found)
    return sealed.model_copy(update={"steps": steps})


def _step_objections(evidence: Evidence, policy: Policy, catalogue: Catalogue) -> Iterator[_Objection]:
    wanted = set(evidence.approved) - set(evidence.live)
    known = [
        (step, contract)
        for step in evidence.sealed.steps
        if step.id in wanted and (contract := _contract_now(step, catalogue)) is not None
    ]
    for step, contract in known:
        needed = max(LIVE_FROM[contract.risk], policy.confidence_threshold_for_live)
        if step.confidence < needed:
            risk = contract.risk.value
            why = f"confidence {step.confidence} of step {step.id!r} is below {needed}, from which {risk} risk may go live"
            yield _Objection(UNAPPROVED, f"confidence {step.id}", why)
        if missing := policy.missing_permissions(step.agent, contract):
            fix = policy.grant_for(step.agent, missing)
            why = f"agent {step.agent!r} of step {step.id!r} lacks permission {', '.join(missing)} ({fix})"
            yield _Objection(UNAPPROVED, f"permission {step.id}", why)
    steps = [
        Step.model_construct(id=step.id, agent=step.agent, tool=step.tool, args=dict(step.args), confidence=step.confidence)
        for step, _ in known
    ]
    contracts = {step.id: contract for step, contract in known}
    for problem in (*secret_problems(steps, contracts, policy), *budget_problems(steps, contracts, policy)):
        yield _Objection(UNAPPROVED, problem.where, f"{problem.where}: {problem.message}")


def _open_steps(evidence: Evidence) -> list[SealedStep]:
    wanted = set(evidence.approved) - set(evidence.live)
    return [step for step in evidence.sealed.steps if step.id in wanted]


def _low_ceilings(evidence: Evidence) -> Iterator[str]:
    for step in _open_steps(evidence):
        if step.ceiling is not Mode.LIVE:
            yield f"step {step.id!r} may go {step.ceiling.value} at most"


def _other_contracts(evidence: Evidence, catalogue: Catalogue) -> Iterator[str]:
    for step in _open_steps(evidence):
        contract = _contract_now(step, catalogue)
        if contract is None:
            yield f"this worker's catalogue has no tool {step.tool!r} that takes the arguments of step {step.id!r}"
        elif contract.digest() != step.contract_hash:
            yield f"the contract of {step.tool} on this worker is not the one that was approved for step {step.id!r}"


def _contract_now(step: SealedStep, catalogue: Catalogue) -> Contract | None:
    if catalogue.get(step.tool) is None:
        return None
    try:
        return catalogue.contract(step.tool, step.args)
    except (ContractError, ValidationError):
        return None


def _until(evidence: Evidence, policy: Policy) -> datetime | None:
    ends = [expiry(evidence.votes, policy.approval_valid_for_seconds)]
    sealed = evidence.sealed
    if sealed.deadline is not None:
        ends.append(datetime.fromisoformat(sealed.submitted_at) + timedelta(seconds=seconds(sealed.deadline)))
    return min((end for end in ends if end is not None), default=None)
