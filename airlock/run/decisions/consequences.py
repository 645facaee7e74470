"""The consequences of an accepted decision: the changes that it makes to a run. `decisions` judges it before."""

from datetime import datetime

from airlock.base.text import shorten
from airlock.plans.state import Event
from airlock.run.call_record import CallEvent, CallStatus
from airlock.run.displacement import lose
from airlock.run.messages import Abort, Deny, Lock, Resolve, Rollback, Settlement, Unlock, parse_message
from airlock.run.outcome import Outcome
from airlock.run.outputs import keep_output
from airlock.run.standing_decisions import LockHeld, RollbackRequest
from airlock.run.state import Run
from airlock.run.undo import Undoing
from airlock.run.unlocking import needs_settling


def carry_out(run: Run, message: Deny | Lock | Unlock | Rollback | Abort | Resolve, now: datetime) -> None:
    """Apply an accepted decision. An approval is a vote, and counted elsewhere."""
    match message:
        case Deny():
            run.apply(Event.DENIED, now, by=message.by, reason=message.reason)
            run.outcome = Outcome.DENIED
        case Lock():
            came_from = run.lock.came_from if run.lock is not None else run.state
            run.lock = LockHeld(by=message.by, reason=message.reason, gate=message.gate, came_from=came_from)
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
    message = request_message(asked)
    return Undoing(
        by=message.by,
        reason=message.reason,
        to_step=message.to_step,
        previous=asked.previous,
        evidence=message.evidence,
    )


def request_message(asked: Undoing) -> Rollback:
    """Return the request for an undo after the end as the message that its person signs.

    Raises:
        MalformedMessage: If it is not a valid rollback.
    """
    fields = asked.model_dump(mode="json", include={"by", "reason", "to_step", "evidence"}, exclude_none=True)
    message = parse_message("rollback", (fields,))
    assert isinstance(message, Rollback)
    return message


def rollback_of(undoing: Undoing) -> RollbackRequest:
    """Return the rollback that an undo carries out once it is approved."""
    return RollbackRequest(by=undoing.by, reason=undoing.reason, to_step=undoing.to_step)


def _unlock(run: Run, message: Unlock, now: datetime) -> None:
    if message.gate and needs_settling(run):
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
    run.lost = tuple(step for step in run.lost if step != message.step)
    match message.outcome:
        case Settlement.HAPPENED:
            run.change_call(message.step, CallEvent.HAPPENED, now, error="")
            keep_output(run, message.step, message.output)
        case Settlement.DID_NOT_HAPPEN:
            run.change_call(message.step, CallEvent.DID_NOT_HAPPEN, now, undo=None, failed=True, settled=True)
            run.rollback = run.rollback or RollbackRequest(by=message.by, reason=message.reason)
        case Settlement.RETRY:
            # a call that failed half-way does not become live because its compensation is tried again
            retry = CallEvent.RETRY_FAILED if record.failed else CallEvent.RETRY
            run.change_call(message.step, retry, now, token_lost=False)
        case Settlement.SKIP:
            run.change_call(message.step, CallEvent.SKIP, now)
            if record.status is CallStatus.IN_DOUBT:  # given up, not settled
                lose(run, message.step, given_up=True)
        case Settlement.COMPENSATED:
            run.change_call(message.step, CallEvent.COMPENSATED, now, undone=record.undone + 1, undo=None, settled=True)
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
