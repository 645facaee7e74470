"""The undo of an ended plan, as far as its seal."""

from typing import Any

from airlock.plans.state import Event, State
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.live.recovery import begin_undo
from airlock.run.presentation.undo_preview import seal_undo
from airlock.run.state import Run
from airlock.run.undo import Undoing, UndoLook
from tests.core.build import NOW, admitted, plan, policy, step

LIVE, UNDONE, KEPT = CallStatus.LIVE, CallStatus.UNDONE, CallStatus.KEPT


def undo_run(ended: Run, to_step: str | None = None) -> tuple[Run, str]:
    run = Run(plan=ended.plan, undoing=Undoing(by="carol", reason="wrong", to_step=to_step), submitted_at=NOW, since=NOW)
    return run, begin_undo(run, ended, None)


def ended_run(**statuses: CallStatus) -> Run:
    """Return a plan that has ended: write a, order b, mail c, read d."""
    proposed = plan(step("a"), step("b", "order", "a"), step("c", "mail", "b"), step("d", "read"))
    run = Run(plan=proposed, admitted=admitted(proposed), submitted_at=NOW, since=NOW, state=State.COMPLETED)
    for number, (name, status) in enumerate(statuses.items(), 1):
        token = None if status is CallStatus.UNDONE else {"token": name}
        run.calls[name] = CallRecord(status=status, number=number, undo=token, undone=int(status is CallStatus.UNDONE))
    return run


def sealed_undo(*looks: UndoLook, to_step: str | None = None, **rules: Any) -> Run:
    ended = ended_run(a=LIVE, b=LIVE, c=LIVE)
    ended.admitted = admitted(ended.plan, policy(**rules))
    run, _ = undo_run(ended, to_step)
    run.apply(Event.REHEARSED, NOW)
    seal_undo(run, looks, NOW)
    run.apply(Event.PREVIEWED, NOW)
    return run
