"""Start of every activity of a plan, with its explicit id, queue, timeouts and summary.

The ids are part of the recorded histories and never change. A default id would let a swapped order go unnoticed.
`apart` ends an id, so that it differs from those of activities that the run has dropped (`answers.apart`).
"""

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.activities import options
    from airlock.activities.admit import AdmitActivities
    from airlock.activities.calls.compensate import CompensateActivities
    from airlock.activities.calls.read import ReadActivities
    from airlock.activities.entry import EntryActivities
    from airlock.activities.gates import GateActivities
    from airlock.activities.policy import PolicyActivities
    from airlock.activities.recover import RecoverActivities
    from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
    from airlock.activities.rehearsals.prepare import PrepareActivities
    from airlock.activities.rehearsals.preview import PreviewActivities
    from airlock.activities.rehearsals.rehearse import RehearseActivities
    from airlock.admission.admitted import Admission
    from airlock.base import names
    from airlock.gates.answers import AcquireResult
    from airlock.gates.protocol import AcquireRequest, LeaveResult
    from airlock.monitoring.outbox import LeaveWithReports
    from airlock.plans.outcome import ProbeAnswer, UndoOutcome
    from airlock.run.decisions.evidence import EntryRequest
    from airlock.run.live.call_messages import ChainRequest, MadeCall, UndoLookRequest, UndoLooks
    from airlock.run.live.read_messages import ReadRequest, ReadResult
    from airlock.wire import (
        AdmitRequest,
        PolicyNow,
        PolicyRequest,
        Prepared,
        PrepareRequest,
        PreviewResult,
        Recovered,
        RecoverRequest,
        RehearsalRequest,
        RehearseResult,
        StoredAt,
        StoredAtRequest,
    )
    from airlock.workflows.activity_options import activity_options


_SHORTEST = timedelta(seconds=1)
"""The least time for a worker to begin a call: zero would mean that there is no limit."""


def admit(request: AdmitRequest, apart: str) -> ActivityHandle[Admission]:
    """Start the admission of a plan by the operator's worker."""
    return workflow.start_activity_method(
        AdmitActivities.admit,
        request,
        **activity_options(options.ADMIT, names.WORKFLOW_QUEUE, f"admit{apart}", "admit"),
    )


def admit_amended(request: AdmitRequest, apart: str) -> ActivityHandle[Admission]:
    """Start the admission of an amended plan, which waits for approval meanwhile."""
    return workflow.start_activity_method(
        AdmitActivities.admit,
        request,
        **activity_options(options.ADMIT, names.WORKFLOW_QUEUE, f"admit:amended{apart}", "admit the amended plan"),
    )


def policy_now(request: PolicyRequest, number: int) -> ActivityHandle[PolicyNow]:
    """Start reading today's policy.

    Args:
        request: Whose policy is asked for.
        number: The number of this question in the run; it keeps their activity ids apart.
    """
    return workflow.start_activity_method(
        PolicyActivities.policy_now,
        request,
        schedule_to_close_timeout=options.POLICY_WITHIN,
        **activity_options(options.POLICY, names.WORKFLOW_QUEUE, f"policy_now:{number}", "today's policy"),
    )


def policy_now_locally(request: PolicyRequest) -> ActivityHandle[PolicyNow]:
    """Start reading today's policy as runs do that asked before `POLICY_BY_TASK`: by a local activity (ADR 0021)."""
    return workflow.start_local_activity_method(
        PolicyActivities.policy_now,
        request,
        activity_id="policy_now",
        start_to_close_timeout=options.POLICY.start_to_close,
        retry_policy=options.POLICY.retry,
        summary="today's policy",
    )


def stored_at(request: StoredAtRequest) -> ActivityHandle[StoredAt]:
    """Start reading from the run's own history when Temporal stored some approvals."""
    return workflow.start_activity_method(
        PolicyActivities.stored_at,
        request,
        **activity_options(options.STORED_AT, names.WORKFLOW_QUEUE, "stored_at", "when were the approvals stored?"),
    )


def acquire(request: AcquireRequest, number: int, before: datetime | None = None) -> ActivityHandle[AcquireResult]:
    """Request slots at gates; the live role answers an `EntryRequest`.

    Args:
        request: The request.
        number: The number of requests of this run so far; it keeps their activity ids apart.
        before: The time by which a worker must begin; None for no limit.
    """
    names_asked = [*request.resources, *request.tools, *(["live"] if request.live else [])]
    summary = f"gates: {', '.join(names_asked) or 'claims'}"
    activity_id = f"acquire:{request.request}:{number}"
    if isinstance(request, EntryRequest):
        return workflow.start_activity_method(
            EntryActivities.acquire,
            request,
            schedule_to_start_timeout=_time_to_begin(before),
            **activity_options(options.ACQUIRE, names.PERMIT_QUEUE, activity_id, summary, finish=True),
        )
    return workflow.start_activity_method(
        GateActivities.acquire,
        request,
        **activity_options(options.ACQUIRE, names.WORKFLOW_QUEUE, activity_id, summary, finish=True),
    )


def leave(request: LeaveWithReports, number: int) -> ActivityHandle[LeaveResult]:
    """Release slots, settle claims and send reports. `number` counts the visits of one run."""
    activity_id = f"leave:{request.request}:{number}"
    summary = "give back" + (f", {len(request.reports)} reports" if request.reports else "")
    return workflow.start_activity_method(
        GateActivities.leave,
        request,
        **activity_options(options.LEAVE, names.WORKFLOW_QUEUE, activity_id, summary, finish=True),
    )


def prepare(request: PrepareRequest, apart: str) -> ActivityHandle[Prepared]:
    """Start the admission of a plan, its mocks and its first dry runs in one activity."""
    steps = len(request.plan.steps)
    return workflow.start_activity_method(
        PrepareActivities.prepare,
        request,
        **activity_options(
            options.prepare(steps), names.REHEARSE_QUEUE, f"prepare{apart}", f"admit and rehearse {steps} steps"
        ),
    )


def rehearse(request: RehearsalRequest, apart: str) -> ActivityHandle[RehearseResult]:
    """Start the mocks of some steps."""
    summary = f"mock {len(request.steps)} steps"
    chosen = options.rehearse(len(request.steps))
    return workflow.start_activity_method(
        RehearseActivities.rehearse,
        request,
        **activity_options(chosen, names.REHEARSE_QUEUE, f"rehearse{apart}", summary),
    )


def preview(request: RehearsalRequest, apart: str) -> ActivityHandle[PreviewResult]:
    """Start the dry runs of some steps."""
    summary = f"dry-run {len(request.steps)} steps"
    chosen = options.preview(request.contracts[request.contract_of[step.id]] for step in request.steps)
    return workflow.start_activity_method(
        PreviewActivities.preview,
        request,
        **activity_options(chosen, names.REHEARSE_QUEUE, f"preview{apart}", summary),
    )


def call(request: ChainRequest, before: datetime | None = None) -> ActivityHandle[Any]:
    """Start a chain of live calls, which a worker must begin before a time if one is given.

    Cancelling the handle drops the calls that have not begun, and waits for the call in flight. The caller must validate
    the result, which is plain JSON: an operator may complete the activity by hand with any value.
    """
    first = request.calls[0]
    chosen = options.call(made.contract for made in request.calls)
    activity_id = f"{first.step.id}:live" + (f":{first.attempt}" if first.attempt > 1 else "")
    summary = " -> ".join(f"{made.step.id}: {made.step.tool}" for made in request.calls)
    if first.attempt > 1:
        summary += f" (attempt {first.attempt})"
    return workflow.start_activity(
        "call",
        request,
        schedule_to_start_timeout=_time_to_begin(before),
        **activity_options(chosen, names.LIVE_QUEUE, activity_id, summary, finish=True),
    )


def read(request: ReadRequest, before: datetime) -> ActivityHandle[ReadResult]:
    """Start reads before a preview, which a worker must begin before a time."""
    chosen = options.read(call.contract for call in request.calls)
    summary = f"read before the preview: {', '.join(call.step.id for call in request.calls)}"
    return workflow.start_activity_method(
        ReadActivities.read,
        request,
        schedule_to_start_timeout=_time_to_begin(before),
        **activity_options(chosen, names.LIVE_QUEUE, request.request, summary),
    )


def compensate(request: MadeCall) -> ActivityHandle[UndoOutcome]:
    """Start the compensation of a live call."""
    return workflow.start_activity_method(
        CompensateActivities.compensate,
        request,
        **activity_options(
            options.compensate(request.contract),
            names.UNDO_QUEUE,
            f"{request.step.id}:undo",
            f"undo {request.step.id}: {request.step.tool}",
            finish=True,
        ),
    )


def recover(request: RecoverRequest, apart: str) -> ActivityHandle[Recovered]:
    """Start reading the final state of an ended plan."""
    return workflow.start_activity_method(
        RecoverActivities.recover,
        request,
        **activity_options(options.RECOVER, names.WORKFLOW_QUEUE, f"recover{apart}", f"what plan {request.plan_id} left"),
    )


def look_at_undo(request: UndoLookRequest, start: int, apart: str) -> ActivityHandle[UndoLooks]:
    """Start asking the tools whether calls can be undone. `start` is the index of the first call, part of the id."""
    chosen = options.look_at_undo(made.contract for made in request.calls)
    summary = f"look at {len(request.calls)} undos"
    return workflow.start_activity_method(
        UndoLookActivities.look_at_undo,
        request,
        **activity_options(chosen, names.REHEARSE_QUEUE, f"look_at_undo:{start}{apart}", summary),
    )


def probe(request: MadeCall) -> ActivityHandle[ProbeAnswer]:
    """Start asking a tool whether a call in doubt took effect."""
    return workflow.start_activity_method(
        CompensateActivities.probe,
        request,
        **activity_options(
            options.probe(request.contract),
            names.UNDO_QUEUE,
            f"{request.step.id}:probe",
            f"probe {request.step.id}: {request.step.tool}",
            finish=True,
        ),
    )


def _time_to_begin(before: datetime | None) -> timedelta | None:
    return None if before is None else max(before - workflow.now(), _SHORTEST)
