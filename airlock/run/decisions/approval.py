"""The pure checks behind every decision about a seal: approve and deny."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from airlock.admission.policy import Policy
from airlock.admission.stricter import Stricter
from airlock.base.incoming import Verdict
from airlock.base.person import same_person
from airlock.base.text import listed
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan
from airlock.plans.seal import DIGEST_PREFIX_LENGTH, names_digest
from airlock.plans.state import State
from airlock.run.decisions.approval_today import refusal_by_today, rules_of, signature_problem, votes_that_count
from airlock.run.messages import Approve, Deny
from airlock.run.sealed import Sealed, SealedStep
from airlock.run.state import Run


def judge_approval(run: Run, approval: Approve, now: datetime, today: Policy | None = None) -> Verdict:
    """Return the verdict on an approval.

    It counts in the right state only, for the current seal, from an allowed approver who has not approved yet, for steps
    whose dependencies go live too, and with a valid signature where the policy requires one.

    Args:
        run: The plan's run.
        approval: The approval as it was sent.
        now: The time at which it was given, UTC.
        today: The policy of today, which counts where it is stricter than the plan's; None if it is not known.
    """
    verdict = judge_by_plan(run, approval, now)
    if not verdict.accepted:
        return verdict
    rules = rules_of(run, today)
    problem = refusal_by_today(run, approval, rules, now) or signature_problem(run, approval, rules)
    if problem:
        return _no(problem)
    number, needed = len(votes_that_count(run, rules, now)) + 1, rules.policy.approvals_required
    whose = " (today's policy)" if rules.whose("approvals_required") == "today's policy" else ""
    left_out = _left_out(run, approval, rules)
    return Verdict(accepted=True, reason=f"approval {number} of {needed} counted{whose}{left_out}")


def _left_out(run: Run, approval: Approve, rules: Stricter) -> str:
    """Return the steps that this approval does not name, as the end of a sentence; empty if there are none."""
    if run.sealed is None or approval.steps is None:
        return ""
    named = {*approval.steps, *_waived(run, run.sealed, rules)}
    missing = [step for step in run.sealed.live_steps if step not in named]
    return f"; it leaves out {listed(missing)}" if missing else ""


def steps_without_quorum(run: Run) -> tuple[str, ...]:
    """Return the steps that could go live and were not approved, in the order of the preview."""
    return () if run.sealed is None else tuple(step for step in run.sealed.live_steps if step not in run.approved)


def judge_by_plan(run: Run, approval: Approve, now: datetime) -> Verdict:
    """Return the verdict on an approval by the plan's own policy, without a look at its signature."""
    stale = _wrong_seal(run, approval.digest)
    if run.state is not State.AWAITING_APPROVAL or run.sealed is None or run.digest is None:
        return stale or _no(f"the plan is in {run.state.value}, it does not wait for approval")
    refusal = stale or _not_allowed(run, approval.by)
    if refusal:
        return refusal
    if run.expires_at is not None and now >= run.expires_at:
        return _no("the time for approval has expired")
    votes = votes_that_count(run, rules_of(run), now)
    if any(_same(run, vote.approval.by, approval.by) for vote in votes):
        return _no(f"{approval.by!r} has already approved this: one vote per approver")
    if run.sealed.undo is not None and approval.steps is not None:
        return _no("an undo is approved as a whole: leave out steps, or request an undo that goes back to one step only")
    if problem := _steps_problem(run.plan, run.sealed, approval.steps):
        return _no(problem)
    return Verdict(accepted=True, reason="may count")


def rehearses(run: Run) -> bool:
    """Return True while a preview may be in the making."""
    return run.outcome is None and (run.preparing or run.state is State.DRY_RUN)


def may_mean_next_seal(run: Run, message: object) -> bool:
    """Return True if a decision may be about the preview that is being made, whose digest the run does not know yet.

    A worker that was lost may have shown that preview. The decision can then reach the run in one workflow task with the
    dry runs, and before them.
    """
    if not isinstance(message, Approve | Deny) or message.digest is None:
        return False
    if run.preparing:  # who may decide is known when admission has answered: it is judged then
        return run.outcome is None and len(message.digest.strip()) >= DIGEST_PREFIX_LENGTH
    if run.admitted is None or run.admitted.epoch < 2:
        return False
    if run.state is not State.DRY_RUN or run.outcome is not None or len(message.digest.strip()) < DIGEST_PREFIX_LENGTH:
        return False
    if any(names_digest(message.digest, known) for known in (run.digest, *(seal.digest for seal in run.replaced))):
        return False
    return (_not_allowed if isinstance(message, Approve) else _not_an_approver)(run, message.by) is None


def judge_denial(run: Run, denial: Deny) -> Verdict:
    """Return the verdict on a denial: right state, allowed approver, and the current seal if it names one."""
    if denial.digest is not None and (stale := _wrong_seal(run, denial.digest)):
        return stale
    if run.state is not State.AWAITING_APPROVAL:
        return _no(f"the plan is in {run.state.value}, it does not wait for approval; use abort or lock")
    return _not_an_approver(run, denial.by) or Verdict(accepted=True, reason="denied")


def approved_steps(run: Run, today: Policy | None = None) -> tuple[str, ...]:
    """Return the steps that have their quorum, with the waived steps, in the order of the preview.

    A step counts one vote for each approver who approved the whole plan or named the step. No step is approved before the
    required number of approvers has voted.
    """
    if run.sealed is None:
        return ()
    rules = rules_of(run, today)
    needed = rules.policy.approvals_required
    if run.sealed.undo is not None:
        return run.sealed.order if len(run.votes) >= needed else ()
    waived = _waived(run, run.sealed, rules)
    candidates = run.sealed.live_steps
    if set(candidates) <= waived:
        return candidates
    votes = [set(candidates if vote.approval.steps is None else vote.approval.steps) for vote in run.votes]
    agreed = {step for step in candidates if sum(step in vote for vote in votes) >= needed}
    closed = _closed(run.sealed, tuple(step for step in candidates if step in agreed or step in waived))
    return closed if agreed.intersection(closed) else ()


def _waived(run: Run, sealed: Sealed, rules: Stricter) -> set[str]:
    """Return the steps that need no approval."""
    return {step.id for step in sealed.steps if step.approval_waived and _still_waived(run, step.id, rules)}


def _still_waived(run: Run, step: str, rules: Stricter) -> bool:
    """Return True unless today's policy wants an approval that the plan's policy waived."""
    contract = run.contracts().contract(step)
    return rules.today == rules.plan or not contract.approval_required or rules.policy.waives_approval(contract)


def waived_by_policy(run: Run) -> bool:
    """Return True if the policy waives the approval of every step that may go live: the policy is then the approver."""
    return run.sealed is not None and bool(run.sealed.live_steps) and not run.votes and bool(approved_steps(run))


def _closed(sealed: Sealed, steps: Sequence[str]) -> tuple[str, ...]:
    """Return the given steps whose dependencies are all live or given too: a live call never reads a previewed output."""
    live = {step.id for step in sealed.steps if step.already_live}
    after = {step.id: step.after for step in sealed.steps}
    kept: list[str] = []
    for step in steps:
        if all(parent in live for parent in after[step]):
            live.add(step)
            kept.append(step)
    return tuple(kept)


def _wrong_seal(run: Run, claimed: str) -> Verdict | None:
    if names_digest(claimed, run.digest):
        return None
    if len(claimed.strip()) < DIGEST_PREFIX_LENGTH:
        return _no(f"name the digest of the preview, at least its first {DIGEST_PREFIX_LENGTH} characters")
    for position, seal in enumerate(run.replaced):
        if names_digest(claimed, seal.digest):
            changed = sorted({path for later in run.replaced[position:] for path in later.changed})
            return Verdict(
                accepted=False,
                reason=f"this digest has been replaced: {run.replaced[-1].why}",
                changed=tuple(changed),
            )
    if run.digest is None:
        return _no(f"there is no seal to decide about while the plan is in {run.state.value}")
    return _no("this is not the digest of the current preview; look at it again")


def _not_allowed(run: Run, by: str) -> Verdict | None:
    if _same(run, by, run.requester):
        subject = "plan" if run.undoing is None else "undo"
        return _no(f"{by!r} requested this {subject} and cannot approve it")
    # both lists: a conflict may have moved a step from the agent that the plan names to another one
    if any(_same(run, by, step.agent) for step in (*run.plan.steps, *run.steps)):
        return _no(f"{by!r} is an agent of this plan: agents propose, they never approve")
    return _not_an_approver(run, by)


def _not_an_approver(run: Run, by: str) -> Verdict | None:
    policy = run.contracts().policy
    if policy.may_approve(by) if run.folds_names else not policy.approvers or by in policy.approvers:
        return None
    return _no(f"{by!r} is not among the approvers ({', '.join(policy.approvers)}) of the plan's policy")


def _steps_problem(plan: Plan, sealed: Sealed, steps: Sequence[str] | None) -> str | None:
    if steps is None:
        return None
    if not steps:
        return "steps is empty: name steps, or leave it out to approve the whole plan"
    known, chosen = {step.id: step for step in sealed.steps}, set(steps)
    for step in steps:
        if step not in known:
            return plan.no_step(step)
        if known[step].ceiling is not Mode.LIVE or known[step].already_live:
            return f"step {step!r} cannot go live: " + (
                "it is live already" if known[step].already_live else known[step].reasons[0]
            )
    # a waived step goes live with the chosen ones only if everything it depends on does
    waived = {step.id for step in sealed.steps if step.approval_waived}
    closed = set(_closed(sealed, tuple(step for step in sealed.live_steps if step in chosen or step in waived)))
    for step in known:
        if step in chosen and step not in closed:
            missing = _unapproved(known, step, chosen | waived)
            return f"step {step!r} depends on {', '.join(missing)}: approve that too"
    return None


def _unapproved(known: Mapping[str, SealedStep], step: str, going: Collection[str]) -> tuple[str, ...]:
    """Return the direct and indirect dependencies of a step that are neither live nor going live, sorted."""
    missing: set[str] = set()
    seen, open_steps = {step}, [step]
    while open_steps:
        for parent in known[open_steps.pop()].after:
            if parent in seen or known[parent].already_live:
                continue
            seen.add(parent)
            open_steps.append(parent)
            if parent not in going:
                missing.add(parent)
    return tuple(sorted(missing))


def _same(run: Run, one: str, other: str) -> bool:
    """Return True if two names are the same person; runs of earlier releases know capital letters only."""
    return same_person(one, other) if run.folds_names else one.strip().casefold() == other.strip().casefold()


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
