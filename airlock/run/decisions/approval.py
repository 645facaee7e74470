"""The pure checks behind every decision about a seal: approve and deny."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from airlock.admission.admitted import BOUNDED_EPOCH, DEMANDS_EPOCH, VOICE_EPOCH
from airlock.admission.policy import Policy
from airlock.admission.stricter import Stricter
from airlock.base.incoming import Verdict
from airlock.base.text import listed
from airlock.plans.applied_rule import Effect, with_effect
from airlock.plans.seal import DIGEST_PREFIX_LENGTH, names_digest
from airlock.plans.state import State
from airlock.run.decisions.approval_today import refusal_by_today, rules_of, signature_problem, votes_that_count
from airlock.run.decisions.authority import risks_of_seal
from airlock.run.decisions.chosen_steps import closed, steps_problem
from airlock.run.decisions.quorum import Need, Tally
from airlock.run.decisions.vote_scope import names_current, people, proposed_steps, same_voter, still_sought, voices
from airlock.run.messages import Approve, Deny
from airlock.run.sealing.sealed import Sealed, SealedStep
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from airlock.signing.statement import moment, too_long

MAX_VOTES: Final = 200
"""The votes that count at the same time. Those for single steps add up without a quorum, under whatever names."""
MAX_NAMED: Final = 20_000
"""The steps that these votes name together. Each vote is judged with all of them, within the seconds of a workflow task."""


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
    votes = (*votes_that_count(run, rules, now), Vote(approval=approval, at=now))
    number, needed = len(people(run, votes)), votes_needed(run, rules, approval.steps)
    whose = " (today's policy)" if needed > votes_needed(run, rules_of(run), approval.steps) else ""
    left_out = _left_out(run, approval, rules)
    asked = _asked(run, approval, rules, now)
    missing = _missing(run, votes, needed, rules)
    of = f" of {needed}" if number <= needed else ""
    return Verdict(accepted=True, reason=f"approval {number}{of} counted{whose}{asked}{left_out}{missing}")


def _asked(run: Run, approval: Approve, rules: Stricter, now: datetime) -> str:
    """Return what the rules of the policy still ask for with this approval, as the end of a sentence; or empty."""
    votes = (*votes_that_count(run, rules, now), Vote(approval=approval, at=now))
    missing = [need.phrase(number) for need, number in still_asked(run, votes, rules.policy).items()]
    return f"; still needs {listed(missing)}" if missing else ""


def still_asked(run: Run, votes: Sequence[Vote], policy: Policy) -> dict[Need, int]:
    """Return what the rules still ask for the approved steps, with what is missing; before any vote, for all steps."""
    if run.sealed is None:
        return {}
    given = voices(run, votes)
    return Tally(given, policy).asked(step for step in run.sealed.steps_to_approve if not votes or given[step.id])


def _left_out(run: Run, approval: Approve, rules: Stricter) -> str:
    """Return the steps that this approval does not name, as the end of a sentence; empty if there are none."""
    if run.sealed is None:
        return ""
    if approval.steps is None:
        proposed = proposed_steps(run, approval.by)
        own = [step for step in run.sealed.live_steps if step in proposed]
        return f"; it does not count for {listed(own)}, proposed by {approval.by!r}" if own else ""
    named = {*approval.steps, *_waived(run, run.sealed, rules)}
    missing = [step for step in run.sealed.live_steps if step not in named]
    return f"; it leaves out {listed(missing)}" if missing else ""


def _missing(run: Run, votes: Sequence[Vote], needed: int, rules: Stricter) -> str:
    """Return the steps for which the votes are not enough after an amendment, as the end of a sentence; empty otherwise."""
    if run.sealed is None or not _was_amended(run, run.sealed) or len(people(run, votes)) < needed:
        return ""
    tally = Tally(voices(run, votes), rules.policy)
    sought = still_sought(run, votes, tally.has_required, _waived(run, run.sealed, rules))
    return f"; still without {needed}: {listed(sought)}" if sought else ""


def _seen_as_amended(run: Run, tally: Tally, waived: Collection[str]) -> bool:
    """Return True if an approval is of the amended plan as a whole, and none lacks a step that all approvers want."""
    named = any(names_current(run, vote.approval) for vote in run.votes)
    return named and not still_sought(run, run.votes, tally.has_required, waived)


def _was_amended(run: Run, sealed: Sealed) -> bool:
    return bool(run.earlier) or any(step.proposed_by for step in sealed.steps)


def steps_without_quorum(run: Run) -> tuple[str, ...]:
    """Return the steps that could go live and were not approved, in the order of the preview."""
    return () if run.sealed is None else tuple(step for step in run.sealed.live_steps if step not in run.approved)


def judge_by_plan(run: Run, approval: Approve, now: datetime) -> Verdict:
    """Return the verdict on an approval by the plan's own policy, without a look at its signature."""
    stale = wrong_seal(run, approval.digest)
    if run.state is not State.AWAITING_APPROVAL or run.sealed is None or run.digest is None:
        return stale or _no(f"the plan is in {run.state.value}, it does not wait for approval")
    refusal = stale or _not_allowed(run, approval.by)
    if refusal:
        return refusal
    if run.expires_at is not None and now >= run.expires_at:
        return _no("the time for approval has expired")
    if approval.evidence is not None and now >= approval.evidence.expires:
        return _no(f"it was signed to count until {moment(approval.evidence.expires)}: sign it again")
    # the live role judges votes by this, too: there the evidence is that of a worker that is not believed
    evidence = approval.evidence if run.contracts().epoch >= BOUNDED_EPOCH else None
    if evidence is not None and (long := too_long(evidence.expires, now)):
        return _no(long)
    votes = votes_that_count(run, rules_of(run), now)
    if any(same_voter(run, vote.approval.by, approval.by) and names_current(run, vote.approval) for vote in votes):
        return _no(f"{approval.by!r} has already approved this: one vote per approver")
    if _is_full((*votes, Vote(approval=approval, at=now))) and run.contracts().epoch >= VOICE_EPOCH:
        return _no("so many approvals count already that no further one is taken: deny the plan, or lock it and unlock it")
    if run.sealed.undo is not None and approval.steps is not None:
        return _no("an undo is approved as a whole: leave out steps, or request an undo that goes back to one step only")
    if problem := steps_problem(run.plan, run.sealed, approval.steps) or _own_proposal(run, run.sealed, approval):
        return _no(problem)
    return Verdict(accepted=True, reason="may count")


def _is_full(votes: Sequence[Vote]) -> bool:
    return len(votes) > MAX_VOTES or sum(len(vote.approval.steps or ()) for vote in votes) > MAX_NAMED


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
    if denial.digest is not None and (stale := wrong_seal(run, denial.digest)):
        return stale
    if run.state is not State.AWAITING_APPROVAL:
        return _no(f"the plan is in {run.state.value}, it does not wait for approval; use abort or lock")
    return _not_an_approver(run, denial.by) or Verdict(accepted=True, reason="denied")


def approved_steps(run: Run, today: Policy | None = None) -> tuple[str, ...]:
    """Return the steps that have their quorum, with the waived steps, in the order of the preview.

    A step counts one vote for each approver who approved the whole plan or named the step. No step is approved before the
    required number of approvers has voted. While a rule asks for more people about one of the steps, or the policy about its
    risk, the others wait with it: their approvers approved the plan with that step in it.

    Votes for the seal before an amendment count on for the steps that it left alone; one vote must name the current seal.
    """
    if run.sealed is None:
        return ()
    rules = rules_of(run, today)
    if run.sealed.undo is not None:
        return run.sealed.order if len(people(run, run.votes)) >= votes_needed(run, rules, None) else ()
    waived = _waived(run, run.sealed, rules)
    candidates = run.sealed.live_steps
    if set(candidates) <= waived:
        return candidates
    tally = Tally(voices(run, run.votes), rules.policy)
    waits = run.contracts().epoch >= DEMANDS_EPOCH
    enough = tally.is_wanted if waits else tally.has_required
    counted = [step for step in run.sealed.steps_to_approve if enough(step)]
    if any(tally.missing(step) for step in counted if (waits or step.rules) and step.id not in waived):
        return ()
    if _was_amended(run, run.sealed) and not _seen_as_amended(run, tally, waived):
        return ()
    agreed = {step.id for step in counted}
    going = closed(run.sealed, tuple(step for step in candidates if step in agreed or step in waived))
    return going if agreed.intersection(going) else ()


def votes_needed(run: Run, rules: Stricter, steps: Collection[str] | None) -> int:
    """Return how many approvals some steps of the seal need, or all that may go live."""
    risks = () if run.sealed is None else risks_of_seal(run.sealed, steps)
    return rules.policy.approvals_of(risks)


def _waived(run: Run, sealed: Sealed, rules: Stricter) -> set[str]:
    """Return the steps that need no approval."""
    return {step.id for step in sealed.steps if step.approval_waived and _still_waived(run, step, rules)}


def _still_waived(run: Run, step: SealedStep, rules: Stricter) -> bool:
    """Return True unless today's policy wants an approval that the plan's policy waived."""
    contract = run.contracts().contract(step.id)
    if rules.today == rules.plan or not contract.approval_required or rules.policy.waives_approval(contract):
        return True
    kept = {rule.id for rule in rules.policy.rule if rule.effect is Effect.ALLOW}
    allowed = {rule.rule for rule in with_effect(step.rules, Effect.ALLOW)}
    return bool(kept & allowed) and rules.policy.may_waive(contract)


def waived_by_policy(run: Run) -> bool:
    """Return True if the policy waives the approval of every step that may go live: the policy is then the approver."""
    return run.sealed is not None and bool(run.sealed.live_steps) and not run.votes and bool(approved_steps(run))


def wrong_seal(run: Run, claimed: str) -> Verdict | None:
    """Return the refusal of a decision that names another seal than the current one; None if it names that."""
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
    return _no(f"this is not the digest of the current preview; look at it again: airlock show {run.name}")


def _not_allowed(run: Run, by: str) -> Verdict | None:
    if same_voter(run, by, run.requester):
        subject = "plan" if run.undoing is None else "undo"
        return _no(f"{by!r} requested this {subject} and cannot approve it")
    # both lists: a conflict may have moved a step from the agent that the plan names to another one
    if any(same_voter(run, by, step.agent) for step in (*run.plan.steps, *run.steps)):
        return _no(f"{by!r} is an agent of this plan: agents propose, they never approve")
    return _not_an_approver(run, by)


def not_allowed(run: Run, by: str) -> str:
    """Return why a person may not approve this plan at all, as it is now; empty for one who may."""
    refusal = _not_allowed(run, by)
    return "" if refusal is None else refusal.reason


def _own_proposal(run: Run, sealed: Sealed, approval: Approve) -> str | None:
    """Return why an approval would be for steps that its approver has proposed; None if it is for others too."""
    own = proposed_steps(run, approval.by)
    if not own:
        return None
    rule = "no approval counts for its approver's own proposal"
    if approval.steps is not None:
        chosen = [step for step in approval.steps if step in own]
        return f"{approval.by!r} proposed {listed(chosen)} by an amendment, and {rule}: leave it out" if chosen else None
    candidates = set(sealed.live_steps)
    open_steps = [step.id for step in sealed.steps if step.id in candidates and not step.approval_waived]
    others = [name for name in sealed.approvers if not not_allowed(run, name)]
    able = [name for name in others if not proposed_steps(run, name).intersection(own)]
    if not set(open_steps) <= own and (able or not sealed.approvers):
        return None
    what = f"{approval.by!r} proposed {listed([step for step in open_steps if step in own])} by an amendment, and {rule}"
    if able or not sealed.approvers:
        return f"{what}: another approver must approve it"
    rest = [step for step in open_steps if step not in own]
    part = f", or approve only {listed(rest)} (steps)" if rest else ""
    return f"{what}. The policy has no other approver: add one to `approvers`, or let the requester amend the plan{part}"


def _not_an_approver(run: Run, by: str) -> Verdict | None:
    policy = run.contracts().policy
    if policy.may_approve(by) if run.folds_names else not policy.approvers or by in policy.approvers:
        return None
    return _no(f"{by!r} is not among the approvers ({', '.join(policy.approvers)}) of the plan's policy")


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
