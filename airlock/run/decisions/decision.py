"""The effect of each message on a run: judged, recorded, applied. No other place lets a human change a run."""

from datetime import datetime

from airlock.admission.decision_rules import demands_evidence
from airlock.admission.policy import Policy
from airlock.admission.stricter import Stricter
from airlock.base.incoming import Verdict
from airlock.base.names import RESERVED
from airlock.base.person import name_problem, same_person
from airlock.base.text import MAX_TEXT, listed, shorten
from airlock.plans.refs import referenced_steps
from airlock.plans.state import Event, State, advance, possible
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallEvent, CallRecord, CallStatus, is_possible
from airlock.run.decisions.approval import judge_approval, judge_denial
from airlock.run.decisions.approval_today import rules_of
from airlock.run.decisions.authority import Looked, is_of_airlock, look_at_evidence, refusal, spend
from airlock.run.decisions.consequences import carry_out
from airlock.run.decisions.gate_proof import gate_proof
from airlock.run.decisions.voices import take_voice
from airlock.run.decisions.votes import take_vote
from airlock.run.messages import Abort, Approve, Deny, Lock, Message, Resolve, Rollback, Settlement, Unlock
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from airlock.run.unlocking import needs_settling

_MESSAGE_OF = {
    Event.APPROVED: "approve",
    Event.DENIED: "deny",
    Event.AMENDED: "amend",
    Event.LOCK: "lock",
    Event.UNLOCK: "unlock",
    Event.ROLLBACK: "rollback",
    Event.ABORT: "abort",
}
_UNPROVED = "nothing proves who locked it: no policy was known before the admission"
_LEFT = MAX_TEXT - len(_UNPROVED) - 2
"""Characters of a reason that are left beside these words."""
_SETTLED_BY = {
    Settlement.HAPPENED: CallEvent.HAPPENED,
    Settlement.DID_NOT_HAPPEN: CallEvent.DID_NOT_HAPPEN,
    Settlement.RETRY: CallEvent.RETRY,
    Settlement.SKIP: CallEvent.SKIP,
    Settlement.COMPENSATED: CallEvent.COMPENSATED,
}


def decide(
    run: Run, name: str, message: Message, now: datetime, *, today: Policy | None = None, given: datetime | None = None
) -> Verdict:
    """Judge a message, record the verdict in the audit, and apply the message if it was accepted.

    Args:
        run: The plan's run; changed in place.
        name: The name of the signal.
        message: The message.
        now: UTC.
        today: The policy of today; None if only the plan's policy counts.
        given: The time at which an approval was given, UTC; without it, now.
    """
    policy, waits = _policy(run, today), False
    looked = Looked() if _over(run) else look_at_evidence(run, message, policy, given or now, now)
    if looked.signed is not None:
        spend(run, looked.signed)
    verdict = _without_authority(run, message, looked, policy, today) or _answer(run, message, given or now, today)
    if verdict.accepted and policy is not None and not isinstance(message, Approve):
        verdict, waits = take_voice(run, message, verdict, policy, now)
    reason = getattr(message, "reason", "") or verdict.reason
    if waits:
        reason = f"{reason}; {verdict.reason}"
    if _stops_unproved(message, policy):
        reason = f"{shorten(reason, _LEFT)}; {_UNPROVED}"
    told = gate_proof(run, message, policy, now) if verdict.accepted else ()
    kind = AuditKind.DECISION if verdict.accepted else AuditKind.REFUSED
    step = getattr(message, "step", None) or getattr(message, "to_step", None)
    run.record(
        kind,
        name,
        now,
        by=message.by,
        reason=reason if verdict.accepted else verdict.reason,
        step=step,
        digest=run.digest,
        answer=message.outcome.value if isinstance(message, Resolve) else None,
        signed=told[0] if told else looked.signed,
        gate=isinstance(message, Lock | Unlock) and message.gate,
        also=told[1:],
        old_form=verdict.accepted and isinstance(message, Approve) and message.signature is not None,
    )
    if not verdict.accepted or waits:
        return verdict
    if isinstance(message, Approve):
        take_vote(run, Vote(approval=message, at=given or now), now, today)
    else:
        carry_out(run, message, now)
    return verdict


def refuse(run: Run, name: str, why: str, now: datetime) -> Verdict:
    """Record a message that could not be understood, and return the verdict."""
    why = shorten(why)
    run.record(AuditKind.REFUSED, shorten(name, 100), now, by="unknown", reason=why)
    return Verdict(accepted=False, reason=why)


def _policy(run: Run, today: Policy | None) -> Policy | None:
    """Return the policy that counts: the stricter of the plan's and today's, or today's before admission, if it is known."""
    return today if run.admitted is None else rules_of(run, today).policy


def _over(run: Run) -> bool:
    return run.state.closed or run.outcome is not None


def _counts_unsigned(message: Message, policy: Policy | None) -> bool:
    """Return True for a lock that needs no evidence: no person who stops a plan is turned away for a bad signature."""
    return isinstance(message, Lock) and (policy is None or not demands_evidence(policy.decisions, "lock"))


def _stops_unproved(message: Message, policy: Policy | None) -> bool:
    """Return True for a lock of a person that no policy judged, since none was known yet. It stops the plan all the same.

    The unlock waits for a policy, as every decision but a lock does: when in doubt, the plan does nothing.
    """
    return policy is None and isinstance(message, Lock) and not is_of_airlock(message)


def _answer(run: Run, message: Message, now: datetime, today: Policy | None) -> Verdict:
    match message:
        case Approve():
            return judge_approval(run, message, now, today)
        case Deny():
            return judge_denial(run, message)
        case Lock():
            return _answer_lock(run, message)
        case Unlock():
            return _answer_unlock(run, message)
        case Rollback():
            return _answer_rollback(run, message)
        case Abort():
            return _answer_withdrawal(run, message) if message.withdrawn else _answer_abort(run)
        case Resolve():
            return _answer_resolve(run, message)


def _without_authority(
    run: Run, message: Message, looked: Looked, policy: Policy | None, today: Policy | None
) -> Verdict | None:
    """Return the refusal of a message for its state or its person, or for its evidence; None if these let it count."""
    if _over(run):
        return _no(f"the plan has ended ({(run.outcome or run.state).value.lower()})")
    if problem := _name_problem(run, message):
        return _no(f"by: {problem}")
    if looked.problem is not None and not _counts_unsigned(message, policy):
        return _no(looked.problem)
    if policy is None or isinstance(message, Approve):  # an approval is judged with its seal
        return None
    rules = Stricter(plan=policy, today=policy, policy=policy) if run.admitted is None else rules_of(run, today)
    refused = refusal(run, message, rules)
    return None if refused is None else _no(refused)


def _name_problem(run: Run, message: Message) -> str:
    # Whatever a name looks like, it may stop a plan; and what a gate has stopped under any name, it may start again.
    stops = isinstance(message, Lock) or (isinstance(message, Unlock) and message.gate)
    # the exact names of Airlock never come from people: the parser has refused them
    return "" if stops or not run.folds_names or message.by in RESERVED else name_problem(message.by)


def _by_table(run: Run, event: Event) -> Verdict:
    if advance(run.state, event) is not None:
        return Verdict(accepted=True, reason=f"the plan was in {run.state.value}")
    allowed = ", ".join(_MESSAGE_OF[other] for other in possible(run.state) if other in _MESSAGE_OF)
    return _no(f"{event.value} is not possible in {run.state.value}; possible: {allowed or 'nothing, it has ended'}")


def _answer_lock(run: Run, message: Lock) -> Verdict:
    if message.gate and run.state is State.ROLLBACK:
        return _no("the live gate stops calls, not their undoing")
    # a person's lock takes the place of the gate's, and outlasts it
    if run.state is State.LOCKED and run.lock is not None and not (run.lock.gate and not message.gate):
        return _no(f"the plan is locked already, by {run.lock.by}: {run.lock.reason}")
    return _by_table(run, Event.LOCK)


def _answer_unlock(run: Run, message: Unlock) -> Verdict:
    if message.gate and not (run.lock is not None and run.lock.gate):
        return _no("the plan was not locked by the live gate")
    if message.gate and (needs_settling(run) or run.in_flight):
        return Verdict(accepted=True, reason="the live gate's lock is lifted; the plan still waits for its steps")
    if run.state is State.LOCKED and needs_settling(run):
        return _no(f"step {', '.join(run.parked)} must be settled first: use resolve, rollback or abort")
    if run.state is State.LOCKED and run.in_flight:
        # one of them may end in doubt; it must not be rehearsed and called again
        return _no(f"calls are still running ({', '.join(run.in_flight)}): wait until they have ended")
    return _by_table(run, Event.UNLOCK)


def _answer_rollback(run: Run, message: Rollback) -> Verdict:
    if message.to_step is not None and run.plan.step(message.to_step) is None:
        return _no(run.plan.no_step(message.to_step))
    if run.undoing is not None and not run.approved:
        return _no("this undo is not approved: approve its preview, or abort it")
    if run.undoing is not None and message.to_step not in (None, run.undoing.to_step):
        return _no("this undo was approved as it is: abort it, and request another")
    if run.state in (State.MOCK, State.DRY_RUN, State.AWAITING_APPROVAL):
        hint = "lock it, then roll back" if run.lasting else "nothing is live, use abort"
        return _no(f"rollback is not possible in {run.state.value}: {hint}")
    return _by_table(run, Event.ROLLBACK)


def _answer_abort(run: Run) -> Verdict:
    if run.state in (State.LIVE, State.ROLLBACK):
        return _no(f"abort is not possible in {run.state.value}: use rollback, or lock it first")
    if run.state is State.LOCKED and run.in_flight:
        return _no(f"calls are still running ({', '.join(run.in_flight)}): wait until they have ended")
    return _by_table(run, Event.ABORT)


_WITHDRAWABLE = (State.MOCK, State.DRY_RUN, State.AWAITING_APPROVAL)


def _answer_withdrawal(run: Run, message: Abort) -> Verdict:
    """Judge an abort by the requester, who may be an agent: it takes nothing away from the people who decide."""
    if run.undoing is not None or not same_person(message.by, run.requester):
        return _no(f"only its requester may withdraw it, not {message.by!r}")
    if run.state not in _WITHDRAWABLE:
        return _no(f"a plan in {run.state.value} is not withdrawn any more: a person decides about it")
    if made := [step for step in run.calls if run.admitted is None or not run.admitted.contract(step).read_only]:
        return _no(f"calls were made already ({listed(made)}): a person decides about the rest")
    return _answer_abort(run)


def _answer_resolve(run: Run, message: Resolve) -> Verdict:
    record = run.calls.get(message.step)
    if run.plan.step(message.step) is None:
        return _no(run.plan.no_step(message.step))
    if run.state is not State.LOCKED or record is None or message.step not in run.parked:
        waiting = f"; waiting: {', '.join(run.parked)}" if run.parked else ""
        return _no(f"step {message.step!r} does not wait to be settled{waiting}")
    allowed = _settlements(run, record)
    if message.outcome not in allowed:
        problem = "is in doubt" if record.status is CallStatus.IN_DOUBT else "has a failed compensation"
        return _no(f"step {message.step!r} {problem}: say {_either(allowed)}")
    if message.outcome is Settlement.HAPPENED and message.output is None and run.rollback is None:
        readers = [step.id for step in run.plan.steps if message.step in referenced_steps(step.args)]
        live = frozenset(run.live)
        if open_readers := [step for step in readers if step not in live]:
            return _no(f"step {', '.join(open_readers)} reads the output of {message.step!r}: give it as output")
    return Verdict(accepted=True, reason=f"step {message.step!r} settled: {message.outcome.value}")


def _settlements(run: Run, record: CallRecord) -> tuple[Settlement, ...]:
    """Return the settlements that the table of calls has for a parked step."""
    return tuple(
        settlement
        for settlement, event in _SETTLED_BY.items()
        if is_possible(record.status, event)
        # without a rollback the plan goes on after this, and must know whether the call took effect
        and not (settlement is Settlement.SKIP and record.status is CallStatus.IN_DOUBT and run.rollback is None)
    )


def _either(settlements: tuple[Settlement, ...]) -> str:
    *others, last = (settlement.value for settlement in settlements)
    return f"{', '.join(others)} or {last}" if others else last


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
