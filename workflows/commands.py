"""The activities as the workflow commands them: explicit ids, queues, timeouts and summaries, in one place."""

from typing import Any

from temporalio import workflow
from temporalio.workflow import ActivityCancellationType, ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.activities import options
    from airlock.activities.admit import AdmitActivities
    from airlock.activities.compensate import CompensateActivities
    from airlock.activities.gates import GateActivities
    from airlock.activities.look_at_undo import UndoLookActivities
    from airlock.activities.options import Options
    from airlock.activities.preview import PreviewActivities
    from airlock.activities.recover import RecoverActivities
    from airlock.activities.rehearse import RehearseActivities
    from airlock.admission.admitted import Admission
    from airlock.base import names
    from airlock.gates.answers import AcquireResult
    from airlock.gates.protocol import AcquireRequest, LeaveResult
    from airlock.monitoring.outbox import LeaveWithReports
    from airlock.plans.outcome import ProbeAnswer, UndoOutcome
    from airlock.run.call_messages import ChainRequest, MadeCall, UndoLookRequest, UndoLooks
    from airlock.wire import AdmitRequest, PreviewResult, Recovered, RecoverRequest, RehearsalRequest, RehearseResult

_WAIT = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
_TRY = ActivityCancellationType.TRY_CANCEL


def admit(request: AdmitRequest) -> ActivityHandle[Admission]:
    """Let the operator's worker judge the plan."""
    return workflow.start_activity_method(
        AdmitActivities.admit, request, **_options(options.ADMIT, names.WORKFLOW_QUEUE, "admit", "admit", _TRY)
    )


def acquire(request: AcquireRequest, number: int) -> ActivityHandle[AcquireResult]:
    """Ask the gates for places; `number` tells the times one run asked from one another."""
    names_asked = [*request.resources, *request.tools, *(["live"] if request.live else [])]
    summary = f"gates: {', '.join(names_asked) or 'claims'}"
    activity_id = f"acquire:{request.request}:{number}"
    return workflow.start_activity_method(
        GateActivities.acquire, request, **_options(options.ACQUIRE, names.WORKFLOW_QUEUE, activity_id, summary, _WAIT)
    )


def leave(request: LeaveWithReports, number: int) -> ActivityHandle[LeaveResult]:
    """Give places back, settle claims, send reports."""
    activity_id = f"leave:{request.request}:{number}"
    summary = "give back" + (f", {len(request.reports)} reports" if request.reports else "")
    return workflow.start_activity_method(
        GateActivities.leave, request, **_options(options.LEAVE, names.WORKFLOW_QUEUE, activity_id, summary, _WAIT)
    )


def rehearse(request: RehearsalRequest) -> ActivityHandle[RehearseResult]:
    """Mock steps."""
    summary = f"mock {len(request.steps)} steps"
    chosen = options.rehearse(len(request.steps))
    return workflow.start_activity_method(
        RehearseActivities.rehearse,
        request,
        **_options(chosen, names.REHEARSE_QUEUE, "rehearse", summary, _TRY),
    )


def preview(request: RehearsalRequest) -> ActivityHandle[PreviewResult]:
    """Dry-run steps."""
    summary = f"dry-run {len(request.steps)} steps"
    chosen = options.preview(request.contracts[request.contract_of[step.id]] for step in request.steps)
    return workflow.start_activity_method(
        PreviewActivities.preview,
        request,
        **_options(chosen, names.REHEARSE_QUEUE, "preview", summary, _TRY),
    )


def call(request: ChainRequest) -> ActivityHandle[Any]:
    """Make live calls. Cancelling waits until the calls in flight have ended; calls not begun yet are dropped.

    The answer is plain JSON, to be checked by the caller: somebody may complete the activity by hand with anything.
    """
    first = request.calls[0]
    chosen = options.call(made.contract for made in request.calls)
    activity_id = f"{first.step.id}:live" + (f":{first.attempt}" if first.attempt > 1 else "")
    summary = " -> ".join(f"{made.step.id}: {made.step.tool}" for made in request.calls)
    if first.attempt > 1:
        summary += f" (attempt {first.attempt})"
    return workflow.start_activity("call", request, **_options(chosen, names.LIVE_QUEUE, activity_id, summary, _WAIT))


def compensate(request: MadeCall) -> ActivityHandle[UndoOutcome]:
    """Take a live call back."""
    return workflow.start_activity_method(
        CompensateActivities.compensate,
        request,
        **_options(
            options.compensate(request.contract),
            names.UNDO_QUEUE,
            f"{request.step.id}:undo",
            f"undo {request.step.id}: {request.step.tool}",
            _WAIT,
        ),
    )


def recover(request: RecoverRequest) -> ActivityHandle[Recovered]:
    """Find out what an ended plan left behind."""
    return workflow.start_activity_method(
        RecoverActivities.recover,
        request,
        **_options(options.RECOVER, names.WORKFLOW_QUEUE, "recover", f"what plan {request.plan_id} left", _TRY),
    )


def look_at_undo(request: UndoLookRequest, start: int) -> ActivityHandle[UndoLooks]:
    """Ask the tools whether calls can be taken back; `start` tells several such activities from one another."""
    chosen = options.look_at_undo(made.contract for made in request.calls)
    summary = f"look at {len(request.calls)} undos"
    return workflow.start_activity_method(
        UndoLookActivities.look_at_undo,
        request,
        **_options(chosen, names.REHEARSE_QUEUE, f"look_at_undo:{start}", summary, _TRY),
    )


def probe(request: MadeCall) -> ActivityHandle[ProbeAnswer]:
    """Ask a tool what became of a call in doubt."""
    return workflow.start_activity_method(
        CompensateActivities.probe,
        request,
        **_options(
            options.probe(request.contract),
            names.UNDO_QUEUE,
            f"{request.step.id}:probe",
            f"probe {request.step.id}: {request.step.tool}",
            _WAIT,
        ),
    )


def _options(chosen: Options, queue: str, activity_id: str, summary: str, cancel: Any) -> dict[str, Any]:
    return {
        "task_queue": queue,
        "activity_id": activity_id,
        "summary": summary[:200],
        "start_to_close_timeout": chosen.start_to_close,
        "heartbeat_timeout": chosen.heartbeat,
        "retry_policy": chosen.retry,
        "cancellation_type": cancel,
    }
