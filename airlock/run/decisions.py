"""The effect of each message on a run: judged, recorded, applied. No other place lets a human change a run."""

from datetime import datetime

from airlock.base.incoming import Verdict
from airlock.base.text import shorten
from airlock.plans.graph import descendants
from airlock.plans.refs import referenced_steps
from airlock.plans.state import Event, State, advance, possible
from airlock.run.approval import approved_steps, judge_approval, judge_denial
from airlock.run.approval_age import expiry_of_votes, votes_in_force
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallEvent, CallRecord, CallStatus, is_possible
from airlock.run.messages import Abort, Approve, Deny, Lock, Message, Resolve, Rollback, Settlement, Unlock, parse_message
from airlock.run.outputs import keep_output
from airlock.run.state import LockHeld, Outcome, RollbackRequest, Run, Vote
from airlock.run.undo import Undoing

_MESSAGE_OF = {
    Event.APPROVED: "approve",
    Event.DENIED: "deny",
    Event.LOCK: "lock",
    Event.UNLOCK: "unlock",
    Event.ROLLBACK: "rollback",
    Event.ABORT: "abort",
}
_SETTLED_BY = {
    Settlement.HAPPENED: CallEvent.HAPPENED,
    Settlement.DID_NOT_HAPPEN: CallEvent.DID_NOT_HAPPEN,
    Settlement.RETRY: CallEvent.RETRY,
    Settlement.SKIP: CallEvent.SKIP,
    Settlement.COMPENSATED: CallEvent.COMPENSATED,
}


def decide(run: Run, name: str, message: Message, now: datetime) -> Verdict:
    """Judge a message, record the verdict in the audit, and apply the message if it was accepted.

    Args:
        run: The plan's run; changed in place.
        name: The name of the signal.
        message: The message.
        now: UTC.
    """
    verdict = _answer(run, message, now)
    reason = getattr(message, "reason", "") or verdict.reason
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
    )
    if verdict.accepted:
        _apply(run, message, now)
    return verdict


def refuse(run: Run, name: str, why: str, now: datetime) -> Verdict:
    """Record a message that could not be understood, and return the verdict."""
    why = shorten(why)
    run.record(AuditKind.REFUSED, shorten(name, 100), now, by="unknown", reason=why)
    return Verdict(accepted=False, reason=why)


def _answer(run: Run, message: Message, now: datetime) -> Verdict:
    if run.state.closed or run.outcome is not None:
        return _no(f"the plan has ended ({(run.outcome or run.state).value.lower()})")
    match message:
        case Approve():
            return judge_approval(run, message, now)
        case Deny():
            return judge_denial(run, message)
        case Lock():
            return _answer_lock(run, message)
        case Unlock():
            return _answer_unlock(run, message)
        case Rollback():
            return _answer_rollback(run, message)
        case Abort():
            return _answer_abort(run)
        case Resolve():
            return _answer_resolve(run, message)


def _by_table(run: Run, event: Event) -> Verdict:
    if advance(run.state, event) is not None:
        return Verdict(accepted=True, reason=f"{event.value} accepted in {run.state.value}")
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
    if message.gate and (run.parked or run.in_flight):
        return Verdict(accepted=True, reason="the live gate's lock is lifted; the plan still waits for its steps")
    if run.state is State.LOCKED and run.parked:
        return _no(f"step {', '.join(run.parked)} must be settled first: use resolve, rollback or abort")
    if run.state is State.LOCKED and run.in_flight:
        # one of them may end in doubt; it must not be rehearsed and called again
        return _no(f"calls are still running ({', '.join(run.in_flight)}): wait until they have ended")
    return _by_table(run, Event.UNLOCK)


def _answer_rollback(run: Run, message: Rollback) -> Verdict:
    if message.to_step is not None and run.plan.step(message.to_step) is None:
        return _no(f"there is no step {message.to_step!r} in this plan")
    if run.undoing is not None and not run.approved:
        return _no("this undo is not approved: approve its preview, or abort it")
    if run.undoing is not None and message.to_step not in (None, run.undoing.to_step):
        return _no("this undo was approved as it is: abort it, and request another")
    if run.state in (State.MOCK, State.DRY_RUN, State.AWAITING_APPROVAL):
        hint = "lock it, then roll back" if run.live else "nothing is live, use abort"
        return _no(f"rollback is not possible in {run.state.value}: {hint}")
    return _by_table(run, Event.ROLLBACK)


def _answer_abort(run: Run) -> Verdict:
    if run.state in (State.LIVE, State.ROLLBACK):
        return _no(f"abort is not possible in {run.state.value}: use rollback, or lock it first")
    if run.state is State.LOCKED and run.in_flight:
        return _no(f"calls are still running ({', '.join(run.in_flight)}): wait until they have ended")
    return _by_table(run, Event.ABORT)


def _answer_resolve(run: Run, message: Resolve) -> Verdict:
    record = run.calls.get(message.step)
    if run.plan.step(message.step) is None:
        return _no(f"there is no step {message.step!r} in this plan")
    if run.state is not State.LOCKED or record is None or message.step not in run.parked:
        waiting = f"; waiting: {', '.join(run.parked)}" if run.parked else ""
        return _no(f"step {message.step!r} does not wait to be settled{waiting}")
    allowed = _settlements(run, record)
    if message.outcome not in allowed:
        problem = "is in doubt" if record.status is CallStatus.IN_DOUBT else "has a failed compensation"
        return _no(f"step {message.step!r} {problem}: say {_either(allowed)}")
    if message.outcome is Settlement.HAPPENED and message.output is None and run.rollback is None:
        readers = [step.id for step in run.plan.steps if message.step in referenced_steps(step.args)]
        if open_readers := [step for step in readers if step not in run.live]:
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


def _apply(run: Run, message: Message, now: datetime) -> None:
    match message:
        case Approve():
            valid_for = run.contracts().policy.approval_valid_for_seconds
            run.votes = (*votes_in_force(run, valid_for, now), Vote(approval=message, at=now))
            run.entry_refusals = 0
            run.approved = approved_steps(run)
            run.approved_until = expiry_of_votes(run, valid_for)
            if run.approved:
                by = ", ".join(vote.approval.by for vote in run.votes)
                run.apply(Event.APPROVED, now, by=by, reason=f"{len(run.approved)} steps approved")
        case Deny():
            run.apply(Event.DENIED, now, by=message.by, reason=message.reason)
            run.outcome = Outcome.DENIED
        case Lock():
            run.lock = LockHeld(by=message.by, reason=message.reason, gate=message.gate)
            run.apply(Event.LOCK, now, by=message.by, reason=message.reason)
        case Unlock():
            _unlock(run, message, now)
        case Rollback():
            run.lock = None
            run.rollback = RollbackRequest(by=message.by, reason=message.reason, to_step=_target(run, message))
            run.apply(Event.ROLLBACK, now, by=message.by, reason=message.reason)
        case Abort():
            run.apply(Event.ABORT, now, by=message.by, reason=message.reason)
            run.outcome = Outcome.ABORTED
        case Resolve():
            _settle(run, message, now)


def _target(run: Run, message: Rollback) -> str | None:
    """Return the step that a rollback goes back to; the rollback of an undo goes no further than its approval."""
    return message.to_step if run.undoing is None else run.undoing.to_step


def asked_undo(asked: Undoing) -> Undoing:
    """Return the request for an undo after the end, without the fields that only the run itself may fill.

    Raises:
        MalformedMessage: If it is not a valid rollback.
    """
    request = {"by": asked.by, "reason": asked.reason, **({"to_step": asked.to_step} if asked.to_step is not None else {})}
    message = parse_message("rollback", (request,))
    assert isinstance(message, Rollback)
    return Undoing(by=message.by, reason=message.reason, to_step=message.to_step, previous=asked.previous)


def rollback_of(undoing: Undoing) -> RollbackRequest:
    """Return the rollback that an undo carries out once it is approved."""
    return RollbackRequest(by=undoing.by, reason=undoing.reason, to_step=undoing.to_step)


def _unlock(run: Run, message: Unlock, now: datetime) -> None:
    if message.gate and run.parked:
        run.lock = None
        return
    if message.gate and run.in_flight:
        run.unlock_later = message
        return
    run.lock, run.rollback = None, None
    if run.undoing is not None:  # an undo keeps its purpose, but is previewed and approved again
        run.rollback, run.approved, run.approved_until = rollback_of(run.undoing), (), None
    for step in run.steps_with[CallStatus.LIVE]:
        if run.calls[step].broken:  # the call stays live and is not made again; the plan goes on without its output
            run.calls[step] = run.calls[step].model_copy(update={"broken": False})
    for step in run.steps_with[CallStatus.FAILED]:
        run.change_call(step, CallEvent.UNLOCK, now)
    run.apply(Event.UNLOCK, now, by=message.by, reason=message.reason)


def _settle(run: Run, message: Resolve, now: datetime) -> None:
    record = run.calls[message.step]
    match message.outcome:
        case Settlement.HAPPENED:
            run.change_call(message.step, CallEvent.HAPPENED, now, error="")
            keep_output(run, message.step, message.output)
        case Settlement.DID_NOT_HAPPEN:
            run.change_call(message.step, CallEvent.DID_NOT_HAPPEN, now, undo=None, failed=True)
            run.rollback = run.rollback or RollbackRequest(by=message.by, reason=message.reason)
        case Settlement.RETRY:
            # a call that failed half-way does not become live because its compensation is tried again
            retry = CallEvent.RETRY_FAILED if record.failed else CallEvent.RETRY
            run.change_call(message.step, retry, now, token_lost=False)
        case Settlement.SKIP:
            run.change_call(message.step, CallEvent.SKIP, now)
        case Settlement.COMPENSATED:
            run.change_call(message.step, CallEvent.COMPENSATED, now, undone=record.undone + 1, undo=None)
    if run.parked or run.lock is not None:
        return
    failed = run.steps_with[CallStatus.FAILED]
    if run.rollback is None and failed:
        why = f"step {failed[0]!r} failed: {run.calls[failed[0]].error}"
        if not run.contracts().policy.enable_rollback_on_failure:
            run.why = shorten(f"{why}; the policy does not roll back by itself")
            return
        run.rollback = RollbackRequest(by="airlock", reason=why)
    event = Event.SETTLED_UNDO if run.rollback else Event.SETTLED_LIVE
    run.apply(event, now, by=message.by, reason=message.reason)


def steps_to_undo(run: Run) -> tuple[str, ...]:
    """Return the steps that a rollback covers: all called steps, or `to_step` with all after or depending on it."""
    target = run.rollback.to_step if run.rollback else None
    called = [step for step in run.calls if _may_need_undo(run.calls[step])]
    if target is None or not called:
        return tuple(sorted(called))
    behind = {target, *descendants(run.contracts().parents, target)}
    first = run.calls[target].number if target in run.calls else None
    return tuple(
        sorted(step for step in called if step in behind or (first is not None and run.calls[step].number >= first))
    )


def _may_need_undo(record: CallRecord) -> bool:
    if record.status is CallStatus.FAILED_BEFORE:
        return record.undo is not None
    return record.status in (CallStatus.LIVE, CallStatus.FAILED)


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
