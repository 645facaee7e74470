"""The judgement of an amendment: who may change which plan, and what becomes of the run (ADR 0015)."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from airlock.admission.admitted import AMEND_EPOCH, Admission, Admitted
from airlock.admission.policy import Policy
from airlock.base.canonical import canonical_json, digest
from airlock.base.errors import PlanError, Problem
from airlock.base.incoming import Verdict
from airlock.base.person import name_problem
from airlock.base.text import listed, shorten
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan, Step, parse_plan
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.decisions.approval import not_allowed, wrong_seal
from airlock.run.decisions.approval_today import rules_of
from airlock.run.decisions.authority import Looked, look_at_evidence, refusal, spend, statement_of
from airlock.run.decisions.vote_scope import same_voter
from airlock.run.messages import Amend
from airlock.run.outputs import drop_output
from airlock.run.rehearsal import begin_rehearsal, record_conflicts
from airlock.run.sealing.amendment import Amendment
from airlock.run.sealing.sealed import SealedStep
from airlock.run.state import Run
from airlock.signing.proof import proof_of
from airlock.signing.signed_decision import SignedDecision

_TOLD: Final = 5
"""The problems of admission that a verdict names."""
MAX_AMENDMENTS: Final = 40
"""The amendments of one plan: each is rehearsed, and makes a seal, of which a run keeps 50 for the record."""
STAYS: Final = "the plan stays as it was"


def judge_amendment(run: Run, message: Amend) -> Verdict:
    """Return the verdict on an amendment by its sender, its digest and the state of the run, without its steps."""
    if run.state.closed or run.outcome is not None:
        return _no(f"the plan has ended ({(run.outcome or run.state).value.lower()}): submit another one")
    if run.undoing is not None:
        return _no("an undo is not amended: abort it, and request another one")
    if run.admitted is None or run.admitted.epoch < AMEND_EPOCH:
        return _no("a version of Airlock whose plans cannot be amended admitted this one: abort it and submit another")
    if problem := name_problem(message.by):
        return _no(f"by: {problem}")
    if message.digest is not None and (stale := wrong_seal(run, message.digest)):
        return stale
    if run.acted:
        return _no("calls of this plan were made already: it is not amended any more")
    if run.amendments >= MAX_AMENDMENTS:
        return _no(f"this plan was amended {MAX_AMENDMENTS} times: abort it and submit another one")
    if run.state is not State.AWAITING_APPROVAL:
        hint = "; unlock it first" if run.state is State.LOCKED else ""
        return _no(f"the plan is in {run.state.value}: only one that waits for approval is amended{hint}")
    if not same_voter(run, message.by, run.requester) and (problem := not_allowed(run, message.by)):
        return _no(f"only the requester and people who may approve amend a plan: {problem}")
    return Verdict(accepted=True, reason="may be amended")


def look_at_amendment(run: Run, message: Amend, today: Policy | None, now: datetime) -> Looked:
    """Return what the evidence of an amendment comes to; it counts once, whatever becomes of the amendment.

    Args:
        run: The plan's run; changed in place.
        message: The amendment.
        today: The policy of today; None if only the plan's policy counts.
        now: UTC.
    """
    if run.admitted is None or run.state.closed or run.outcome is not None:
        return Looked()
    looked = look_at_evidence(run, message, rules_of(run, today).policy, now, now)
    if looked.signed is not None:
        spend(run, looked.signed)
    return looked


def judge_author(run: Run, message: Amend, looked: Looked, admitted: Admitted | None = None) -> Verdict:
    """Return whether the policies let the person of an amendment amend this plan, with the evidence that came along.

    Args:
        run: The plan's run.
        message: The amendment.
        looked: What its evidence comes to.
        admitted: The admission of the amended plan, once it is known: its policy is that of today.
    """
    if looked.problem is not None:
        return _no(looked.problem)
    rules = rules_of(run, admitted.policy if admitted is not None else None)
    stated = statement_of(run, message) if admitted is not None else None
    if message.evidence is not None and stated is not None:
        # its keys are those of a worker that was asked; what was taken for today's policy may have been a claim
        problem = proof_of(message.evidence, stated, rules.policy.registered).told
        if problem is not None:
            return _no(f"today's policy: {problem}")
    rows = admitted.steps.values() if admitted is not None else ()
    refused = refusal(run, message, rules, {row.contract.risk for row in rows})
    return Verdict(accepted=True, reason="may amend") if refused is None else _no(refused)


def amended_plan(plan: Plan, message: Amend) -> Plan:
    """Return the plan with the steps of an amendment.

    Raises:
        PlanError: If the amendment does not fit the plan, or the plan that it makes is none; it names step, field and fix.
    """
    if problems := tuple(_misfits(plan, message)):
        raise PlanError(problems)
    given, gone = {step.id: step for step in message.steps}, set(message.remove)
    kept = [] if message.whole else [given.pop(step.id, step) for step in plan.steps if step.id not in gone]
    steps = (*kept, *given.values())
    document = plan.model_dump(mode="json")
    # the id of a plan that a schedule started is longer than one that may be submitted
    read = parse_plan(document | {"plan_id": "amended", "steps": [step.model_dump(mode="json") for step in steps]})
    if canonical_json(read.model_dump(mode="json")["steps"]) == canonical_json(document["steps"]):
        problem = Problem(where="steps", message="are those of the plan already", fix="change, add or remove a step")
        raise PlanError([problem])
    return read.model_copy(update={"plan_id": plan.plan_id})


def _misfits(plan: Plan, message: Amend) -> Iterable[Problem]:
    if not message.steps and (message.whole or not message.remove):
        yield Problem(where="steps", message="is empty", fix="give whole steps, or name steps in `remove`")
    if message.whole and message.remove:
        yield Problem(where="remove", message="says nothing where `steps` are all steps of the plan", fix="leave it out")
    for step, number in Counter(step.id for step in message.steps).items():
        if number > 1:
            yield Problem(where=f"steps.{step}", message=f"is there {number} times", fix="give each step one id of its own")
    known, given = {step.id for step in plan.steps}, {step.id for step in message.steps}
    unknown = [step for step in dict.fromkeys(message.remove) if step not in known]
    for step in unknown[:_TOLD]:  # each is compared with all steps of the plan, and any client can name thousands
        yield Problem(where="remove", message=plan.no_step(step), fix="name steps of the plan")
    if (more := len(unknown) - _TOLD) > 0:
        yield Problem(where="remove", message=f"names {more:,} more that are not there", fix="name steps of the plan")
    for step in dict.fromkeys(message.remove):
        if step in known and step in given:
            yield Problem(where="remove", message=f"names {step!r}, which `steps` replaces", fix="say one of the two")


def refuse_amendment(
    run: Run, message: Amend, verdict: Verdict, now: datetime, signed: SignedDecision | None = None
) -> Verdict:
    """Record that an amendment was refused; the plan stays as it was."""
    run.record(AuditKind.REFUSED, "amend", now, by=message.by, reason=verdict.reason, digest=run.digest, signed=signed)
    return verdict


def problems_of(problems: Iterable[Problem], *, where: str = "") -> Verdict:
    """Return the refusal of an amendment for problems of the plan that it makes.

    Args:
        problems: The problems.
        where: Who found them, as the beginning of a sentence.
    """
    every = tuple(problems)
    more = f"; and {len(every) - _TOLD} more" if len(every) > _TOLD else ""
    return _no(f"{where}{'; '.join(str(problem) for problem in every[:_TOLD])}{more}; {STAYS}")


def amend(
    run: Run, message: Amend, plan: Plan, admission: Admission, now: datetime, looked: Looked | None = None
) -> Verdict:
    """Amend a plan, or refuse to; either is recorded.

    The amendment is judged again: others may have decided while admission looked at the plan.

    Args:
        run: The plan's run; changed in place.
        message: The amendment.
        plan: The plan that it makes.
        admission: The answer of admission about that plan.
        now: UTC.
        looked: What the evidence of the amendment comes to; None if it has none.
    """
    looked = looked or Looked()
    verdict = judge_amendment(run, message)
    if verdict.accepted:
        verdict = judge_author(run, message, looked, admission.admitted)
    if verdict.accepted:
        verdict = _judge_admission(run, message, plan, admission)
    if not verdict.accepted or admission.admitted is None:
        return refuse_amendment(run, message, verdict, now, looked.signed)
    run.record(
        AuditKind.DECISION, "amend", now, by=message.by, reason=message.reason, digest=run.digest, signed=looked.signed
    )
    _apply(run, message, plan, admission.admitted, now)
    return verdict


def _judge_admission(run: Run, message: Amend, plan: Plan, admission: Admission) -> Verdict:
    admitted = admission.admitted
    if admitted is None:
        return problems_of(admission.problems, where="admission refuses the amended plan: ")
    if admitted.epoch < AMEND_EPOCH:
        return _no(f"a worker of an earlier version admitted it: send it again once all workers are updated; {STAYS}")
    if not same_voter(run, message.by, run.requester) and not admitted.policy.may_approve(message.by):
        return _no(f"today's policy: {message.by!r} is not among the approvers ({', '.join(admitted.policy.approvers)})")
    if not admitted.live_candidates:
        caps = (cap.reason for row in admitted.steps.values() for cap in row.caps if cap.mode is not Mode.LIVE)
        return _no(f"no step of the amended plan may go LIVE: {next(caps, 'see airlock check')}; {STAYS}")
    changed = _changed(run, plan, admitted)
    what = f"amended: {listed([step for step, _ in changed])}" if changed else "amended"
    paths = tuple(f"steps.{step} ({how})" for step, how in changed)
    return Verdict(accepted=True, reason=f"{what}; what changed is rehearsed and approved again", changed=paths)


def _changed(run: Run, plan: Plan, admitted: Admitted) -> tuple[tuple[str, str], ...]:
    """Return the steps that an amendment changes, and how; those that depend on a changed one are changed too."""
    before = {step.id: step for step in run.sealed.steps} if run.sealed is not None else {}
    by_id = {step.id: step for step in plan.steps}
    found: dict[str, str] = {}
    for step, row in admitted.steps.items():
        old = before.get(step)
        if old is None:
            found[step] = "added"
        elif _proposal(admitted.step(by_id[step]), row.parents, row.contract_hash) != _proposal(
            old, old.after, old.contract_hash
        ):
            found[step] = "changed"
        elif any(parent in found for parent in row.parents):
            found[step] = "depends on a changed step"
    return (*found.items(), *((step, "removed") for step in before if step not in by_id))


def _proposal(step: Step | SealedStep, parents: tuple[str, ...], contract: str) -> str:
    return digest([step.agent, step.tool, step.args, step.confidence, step.dedupe_key, parents, contract])


def _apply(run: Run, message: Amend, plan: Plan, admitted: Admitted, now: datetime) -> None:
    ids = {step.id for step in plan.steps}
    for step in [step for step in run.calls if step not in ids]:  # only reads before the preview: all are made again
        drop_output(run, step)
        del run.calls[step]
    run.plan = plan
    run.record(AuditKind.ADMISSION, "admitted", now, reason=f"catalogue {admitted.catalogue_hash[:12]}")
    record_conflicts(run, admitted.conflicts, now)
    begin_rehearsal(run, admitted)
    run.amendments += 1
    run.amendment = Amendment(by=message.by, reason=shorten(message.reason), moves=run.moves + 1)
    run.apply(Event.AMENDED, now, by=message.by, reason=f"amended by {message.by}: {message.reason}")


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
