"""Today's policy at an approval: what was admitted under a laxer policy counts only as far as both policies allow it."""

from datetime import datetime, timedelta

from airlock.admission.budget import budget_problems
from airlock.admission.ceiling import own_caps
from airlock.admission.policy import Policy
from airlock.admission.stricter import Stricter, stricter
from airlock.plans.contract import Mode
from airlock.run.decisions.approval_age import votes_in_force
from airlock.run.decisions.authority import refusal, statement_of
from airlock.run.decisions.signature import must_sign, signature_refusal
from airlock.run.decisions.vote_scope import as_named
from airlock.run.messages import Approve
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from airlock.signing.proof import proof_of

_ADMIT_AGAIN = "lock and unlock the plan: today's policy then applies to all of it"


def rules_of(run: Run, today: Policy | None = None) -> Stricter:
    """Return the rules for a decision: the plan's policy, and today's where it is known and stricter."""
    plan = run.contracts().policy
    return Stricter(plan=plan, today=plan, policy=plan) if today is None else stricter(plan, today)


def refusal_by_today(run: Run, approval: Approve, rules: Stricter, now: datetime) -> str | None:
    """Return why today's policy does not let an approval count that the plan's policy allows; None if it does.

    Args:
        run: The plan's run, sealed.
        approval: The approval.
        rules: The rules for this decision.
        now: The time at which the approval was given, UTC.
    """
    if rules.today == rules.plan:
        return None
    if whose := rules.refused_approver(approval.by):
        return f"{approval.by!r} is not among the approvers ({', '.join(rules.today.approvers)}) of {whose}"
    allowed = rules.policy.approval_timeout_seconds
    if rules.whose("approval_timeout") == "today's policy" and now >= run.since + timedelta(seconds=allowed):
        return f"the time for approval has expired: today's policy gives {rules.policy.approval_timeout}"
    problem = _capped(run, approval, rules)
    return None if problem is None else f"today's policy: {problem}; {_ADMIT_AGAIN}"


def _capped(run: Run, approval: Approve, rules: Stricter) -> str | None:
    """Return why a step that the approval would let go live stays below LIVE by today's policy; None if none does."""
    assert run.sealed is not None
    if run.sealed.undo is not None:
        return None
    admitted, by_id = run.contracts(), {step.id: step for step in run.steps}
    candidates = run.sealed.live_steps
    chosen = [step for step in candidates if approval.steps is None or step in approval.steps]
    for step in chosen:
        contract = admitted.contract(step)
        for cap in own_caps(by_id[step], contract, run.plan, rules.policy, admitted.reliability):
            if cap.mode is not Mode.LIVE:
                return f"step {step!r} cannot go live: {cap.reason}"
        if missing := rules.policy.missing_permissions(by_id[step].agent, contract):
            fix = rules.policy.grant_for(by_id[step].agent, missing)
            return f"step {step!r} cannot go live: agent {by_id[step].agent!r} lacks permission {', '.join(missing)} ({fix})"
    problems = budget_problems([by_id[step] for step in chosen], {s: admitted.contract(s) for s in chosen}, rules.policy)
    return str(problems[0]) if problems else None


def signature_problem(run: Run, approval: Approve, rules: Stricter) -> str | None:
    """Return why an approval needs evidence that it lacks, with the policy that demands it; None if nothing is wrong."""
    if run.sealed is None or run.digest is None:
        return None
    if (about := as_named(run, approval)) is None or about.sealed is None or about.digest is None:
        return "it names no seal whose approvals count, or two of them: name the whole digest"
    run = about
    if approval.evidence is not None and (problem := _proof_problem(run, approval, rules)) is not None:
        return problem
    if (problem := refusal(run, approval, rules)) is not None:
        return problem
    signed_anew = approval.evidence is not None and approval.signature is None
    if signed_anew or not must_sign(about.sealed, approval, rules.policy.signature_required):
        return None
    keys = rules.policy.authorized_keys
    problem = signature_refusal(run.name, approval, about.digest, keys, any_spelling=run.folds_names)
    if problem is None or rules.today == rules.plan:
        return problem
    field = "signature_required" if approval.signature is None else "authorized_keys"
    return f"{rules.whose(field)}: {problem}"


def _proof_problem(run: Run, approval: Approve, rules: Stricter) -> str | None:
    stated = statement_of(run, approval)
    if approval.evidence is None or stated is None:
        return None
    problem = proof_of(approval.evidence, stated, rules.policy.registered).told
    if problem is None or rules.today == rules.plan:
        return problem
    return f"{rules.whose('authorized_keys' if approval.evidence.kind == 'ssh' else 'passkeys')}: {problem}"


def votes_that_count(run: Run, rules: Stricter, now: datetime) -> tuple[Vote, ...]:
    """Return the votes that both policies still count, oldest first."""
    votes = votes_in_force(run, rules.policy.approval_valid_for_seconds, now)
    if rules.today == rules.plan:
        return votes
    return tuple(
        vote
        for vote in votes
        if rules.today.may_approve(vote.approval.by) and signature_problem(run, vote.approval, rules) is None
    )
