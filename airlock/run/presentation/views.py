"""Snapshots of a run for people and programs: the answers of the queries, and the result."""

from datetime import datetime
from typing import Any

from pydantic import Field

from airlock.admission.conflicts.conflict import Conflict
from airlock.base.model import WireModel, is_empty
from airlock.base.text import count, listed
from airlock.base.visible import visible
from airlock.plans.contract import Mode
from airlock.plans.plan import Step
from airlock.plans.state import State, possible
from airlock.run.audit import AuditEntry
from airlock.run.call_record import CallStatus
from airlock.run.handed_back import asked_since
from airlock.run.live.call_results import outcome_of
from airlock.run.outcome import DRY_RUN_FAILED, MOCK_FAILED, READ_FAILED, Outcome
from airlock.run.presentation.preview import approve_command, render_closed, render_preview
from airlock.run.sealed import ReplacedSeal, Sealed
from airlock.run.state import Run
from airlock.run.unlocking import needs_settling


class StepView(WireModel):
    """The status of one step."""

    id: str
    agent: str
    tool: str
    status: str
    """`waiting`, `calling`, or the status of its live call."""
    risk: str | None = None
    reversibility: str | None = None
    ceiling: Mode | None = None
    reasons: tuple[str, ...] = ()
    error: str = ""
    attempt: int = 0
    drift: tuple[str, ...] = ()
    read_at: datetime | None = Field(default=None, exclude_if=is_empty)
    """The time at which it was read before the preview, UTC; None for a call of the stage LIVE."""


class StatusView(WireModel):
    """The status of a plan, what it waits for, and its latest refusals. Times are UTC."""

    plan_id: str
    goal: str
    requested_by: str
    state: State
    since: datetime
    why: str
    outcome: Outcome | None
    digest: str | None
    expires_at: datetime | None
    approvals: tuple[str, ...]
    approvals_required: int
    steps: tuple[StepView, ...]
    in_flight: tuple[str, ...]
    parked: tuple[str, ...]
    possible: tuple[str, ...]
    refused: int
    refusals: tuple[AuditEntry, ...]
    waits_for: str
    approve_command: str | None = None
    submitted_at: datetime | None = None
    gates: tuple[str, ...] = ()
    """The names of the resources and tools that the plan holds, and `live` for its live slot."""
    locked_by_gate: bool = False
    conflicts: tuple[Conflict, ...] = ()


class PreviewView(WireModel):
    """The sealed preview: as data, as text, with its digest."""

    plan_id: str
    state: State
    digest: str | None
    text: str
    sealed: Sealed | None = None
    replaced: tuple[ReplacedSeal, ...] = ()
    """The earlier seals, each with the paths that changed after it."""


class AuditView(WireModel):
    """The audit of a run, oldest entry first; refusals beyond a bound are only counted."""

    plan_id: str
    entries: tuple[AuditEntry, ...]
    refused: int


class PlanResult(WireModel):
    """The result of a plan."""

    plan_id: str
    outcome: Outcome
    state: State
    why: str
    digest: str | None
    steps: tuple[StepView, ...]
    live: tuple[str, ...]
    """The steps whose effect stands."""
    undone: tuple[str, ...]
    """The steps that were compensated."""
    kept: tuple[str, ...]
    """The steps that a rollback kept: they cannot be undone, or a human skipped their compensation."""
    not_settled: tuple[str, ...]
    """The calls in doubt and the failed compensations that no human has settled."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    refused: int = 0


def rehearsal_failed(ended: StatusView | PlanResult) -> bool:
    """Return True if a plan ended without a call that worked, and a mock, a dry run or a read before it failed."""
    if ended.outcome is not Outcome.REHEARSED or any(step.status != "waiting" for step in ended.steps):
        return False
    failed = (MOCK_FAILED, DRY_RUN_FAILED, READ_FAILED)
    return any(reason.startswith(failed) for step in ended.steps for reason in step.reasons)


def step_views(run: Run) -> tuple[StepView, ...]:
    """Return the view of every step, in the plan's order."""
    return tuple(step_view(run, step) for step in run.steps)


def step_view(run: Run, planned: Step) -> StepView:
    """Return the view of one step."""
    step = planned.id
    record = run.calls.get(step)
    contract = run.admitted.contract(step) if run.admitted else None
    ceiling = run.ceilings.get(step)
    return StepView(
        id=step,
        agent=planned.agent,
        tool=planned.tool,
        status="calling" if step in run.in_flight else record.status.value if record else "waiting",
        risk=contract.risk.value if contract else None,
        reversibility=contract.reversibility.value if contract else None,
        ceiling=ceiling.mode if ceiling else None,
        reasons=ceiling.reasons if ceiling else (),
        error=record.error if record else "",
        attempt=record.attempt if record else 0,
        drift=record.drift if record else (),
        read_at=record.read.at if record and record.read else None,
    )


def status_view(run: Run) -> StatusView:
    """Return the answer of the query `status`."""
    waiting = run.state is State.AWAITING_APPROVAL and run.sealed is not None and run.digest is not None
    return StatusView(
        plan_id=run.name,
        goal=run.plan.goal,
        requested_by=run.requester,
        state=run.state,
        since=run.since,
        why=run.why,
        outcome=outcome_of(run) if run.state.closed else run.outcome,
        digest=run.digest,
        expires_at=run.expires_at,
        approvals=tuple(vote.approval.by for vote in run.votes),
        approvals_required=run.admitted.policy.approvals_required if run.admitted else 0,
        steps=step_views(run),
        in_flight=run.in_flight,
        parked=run.parked,
        possible=tuple(event.value for event in possible(run.state)),
        refused=run.refused,
        refusals=run.lately_refused,
        waits_for=waits_for(run),
        approve_command=approve_command(run.sealed, run.digest) if waiting and run.sealed and run.digest else None,
        submitted_at=run.submitted_at,
        gates=run.opening or tuple(held.name for held in run.gates),
        locked_by_gate=run.lock is not None and run.lock.gate,
        conflicts=run.admitted.conflicts if run.admitted else (),
    )


def preview_view(run: Run) -> PreviewView:
    """Return the answer of the query `preview`."""
    if run.sealed is None or run.digest is None:
        text = f"Plan {run.name} has no preview: it is in {run.state.value} ({run.why})."
        return PreviewView(plan_id=run.name, state=run.state, digest=None, text=visible(text))
    return PreviewView(
        plan_id=run.name,
        state=run.state,
        digest=run.digest,
        text=render(run.sealed, run.digest, run.state, closed=run.outcome is not None),
        sealed=run.sealed,
        replaced=run.replaced,
    )


def render(sealed: Sealed, digest: str, state: State, *, closed: bool = False) -> str:
    """Return the text of a preview, with the command that approves it only if the plan waits for approval."""
    if state is State.AWAITING_APPROVAL and not closed:
        return render_preview(sealed, digest)
    return render_closed(sealed, digest, state)


def audit_view(run: Run) -> AuditView:
    """Return the answer of the query `audit`."""
    return AuditView(plan_id=run.name, entries=tuple(run.audit), refused=run.refused)


def plan_result(run: Run) -> PlanResult:
    """Return the result of a run that has ended."""
    by_status = run.steps_with
    return PlanResult(
        plan_id=run.name,
        outcome=outcome_of(run),
        state=run.state,
        why=run.why,
        digest=run.digest,
        steps=step_views(run),
        live=_in_effect(run),
        undone=by_status[CallStatus.UNDONE],
        kept=by_status[CallStatus.KEPT],
        not_settled=run.parked,
        outputs=run.outputs,
        refused=run.refused,
    )


def _in_effect(run: Run) -> tuple[str, ...]:
    """Return the live steps; in ABORTED without the read-only ones, which left no effect."""
    if run.admitted is None or run.state is not State.ABORTED:
        return run.live
    return tuple(step for step in run.live if not run.admitted.contract(step).read_only)


def waits_for(run: Run) -> str:
    """Return one sentence about the event that the run waits for."""
    if run.outcome is not None:
        return "nothing, it has ended"
    match run.state:
        case State.MOCK | State.DRY_RUN if (since := asked_since(run)) is not None:
            return f"a rehearsing worker with the plan's contracts, asked for since {since:%Y-%m-%d %H:%M:%S} UTC"
        case State.MOCK | State.DRY_RUN:
            return "a worker that rehearses"
        case State.AWAITING_APPROVAL:
            needed = run.contracts().policy.approvals_required - len(run.votes)
            if needed <= 0:  # the votes so far are for different steps
                return "more approvals: no step has its quorum yet"
            until = f"{run.expires_at:%Y-%m-%d %H:%M:%S} UTC" if run.expires_at else ""
            return f"{count(needed, 'approval')} until {until}" if until else "approval"
        case State.LIVE | State.ROLLBACK if run.gate_wait is not None:
            by = f", held by {', '.join(run.gate_wait.holders[:5])}" if run.gate_wait.holders else ""
            return f"its turn at {run.gate_wait.name} (place {run.gate_wait.position} in the queue{by})"
        case State.LIVE if (since := asked_since(run)) is not None:
            return f"a live worker with the approved contract, asked for since {since:%Y-%m-%d %H:%M:%S} UTC"
        case State.LIVE | State.ROLLBACK:
            return f"calls that are running: {listed(run.in_flight)}" if run.in_flight else "a worker"
        case State.LOCKED:
            return _locked_waits_for(run)
        case _:
            return "nothing, it has ended"


def outcomes_of(run: Run, step: str) -> tuple[str, ...]:
    """Return the outcomes with which a person settles a parked step."""
    doubt = run.calls[step].status is CallStatus.IN_DOUBT
    return ("happened", "did_not_happen") if doubt else ("retry", "skip", "compensated")


def _locked_waits_for(run: Run) -> str:
    if run.in_flight:
        return f"calls that are still finishing: {listed(run.in_flight)}"
    if needs_settling(run):
        step = run.parked[0]
        settle = f"airlock resolve {run.name} {step} {'|'.join(outcomes_of(run, step))} --reason ..."
        return f"a human to settle {', '.join(run.parked)}: {settle}"
    if run.lock is not None and run.lock.gate:
        return f"airlock unlock, with the --scope that was locked: {run.lock.reason} (or rollback, abort)"
    return f"unlock, rollback or abort: airlock unlock {run.name} --reason ..."
