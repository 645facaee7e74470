"""Snapshots of a run for people and programs: the answers of the queries, and the result."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from airlock.admission.admitted import SIGNED_EPOCH
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.decision_rules import ApprovalDemand
from airlock.base.model import WireModel, is_empty
from airlock.base.visible import visible
from airlock.plans.contract import Mode
from airlock.plans.plan import Step
from airlock.plans.state import State, possible
from airlock.run.audit import AuditEntry
from airlock.run.call_record import CallStatus
from airlock.run.decisions.approval import still_asked, votes_needed
from airlock.run.decisions.approval_today import rules_of
from airlock.run.decisions.vote_scope import people, voices
from airlock.run.live.call_results import outcome_of
from airlock.run.outcome import DRY_RUN_FAILED, MOCK_FAILED, READ_FAILED, Outcome
from airlock.run.presentation.approval_needs import demands_of_run
from airlock.run.presentation.decision_commands import approve_command
from airlock.run.presentation.preview import render_closed, render_preview
from airlock.run.presentation.seal_difference import DifferenceLine, difference_lines
from airlock.run.presentation.waiting import waits_for
from airlock.run.presentation.whose_words import spoken, whose_words
from airlock.run.sealing.sealed import ReplacedSeal, Sealed
from airlock.run.state import Run


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
    approved_by: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The people whose approvals count for this step, while the plan waits for more."""
    read_at: datetime | None = Field(default=None, exclude_if=is_empty)
    """The time at which it was read before the preview, UTC; None for a call of the stage LIVE."""


class NeedView(WireModel):
    """Approvals that a rule of the policy asks for and that are missing."""

    rule: str
    approvals: int
    """The approvals that it asks for."""
    missing: int
    role: str = ""
    """The role of the people who may give them; empty for every approver."""
    reason: str = ""
    """The operator's reason."""


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
    """The command that approves the preview; None if it does not wait, or if only a passkey can sign the approval."""
    submitted_at: datetime | None = None
    gates: tuple[str, ...] = ()
    """The names of the resources and tools that the plan holds, and `live` for its live slot."""
    locked_by_gate: bool = False
    conflicts: tuple[Conflict, ...] = ()
    life: str = ""
    """The name of the run in a signed statement; it outlasts a continue-as-new, and ends with a reset."""
    nonce: str = ""
    """The nonce of the next signed decision; empty for a run that takes none."""
    voices: tuple[str, ...] = ()
    """The decisions that wait for another person to decide the same."""
    asked: tuple[NeedView, ...] = Field(default=(), exclude_if=is_empty)
    """The approvals that rules of the policy still ask for, while the plan waits."""
    demands: tuple[ApprovalDemand, ...] = Field(default=(), exclude_if=is_empty)
    """The demands of the policy on approvals, until the plan ends: people, roles and evidence, by risk."""
    why_by: str = Field(default="", exclude_if=is_empty)
    """The person whose words `why` are: the reason of a lock, a denial, a rollback, an abort, an unlock or a settlement."""

    @property
    def why_words(self) -> str:
        """The reason of the state for people; the words of a person stand in quotes, with the name."""
        return spoken(self.why, self.why_by)

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents of the steps, each once, sorted."""
        return tuple(sorted({step.agent for step in self.steps}))

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools of the steps, each once, sorted."""
        return tuple(sorted({step.tool for step in self.steps}))


class PreviewView(WireModel):
    """The sealed preview: as data, as text, with its digest."""

    plan_id: str
    state: State
    digest: str | None
    text: str
    sealed: Sealed | None = None
    replaced: tuple[ReplacedSeal, ...] = ()
    """The earlier seals, each with the paths that changed after it."""
    before: Sealed | None = Field(default=None, exclude_if=is_empty)
    """The content of the seal that this one replaced, if the run still knows it."""
    changes: tuple[DifferenceLine, ...] = Field(default=(), exclude_if=is_empty)
    """The difference to the preview before, line by line."""


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
    approved_by = voices(run, run.votes) if run.state is State.AWAITING_APPROVAL else {}
    return tuple(step_view(run, step, approved_by) for step in run.steps)


def step_view(run: Run, planned: Step, approved_by: Mapping[str, tuple[str, ...]] | None = None) -> StepView:
    """Return the view of one step.

    Args:
        run: The plan's run.
        planned: The step.
        approved_by: The people who approve each step, if that is to be shown.
    """
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
        approved_by=(approved_by or {}).get(step, ()),
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
        why_by=whose_words(run),
        outcome=outcome_of(run) if run.state.closed else run.outcome,
        digest=run.digest,
        expires_at=run.expires_at,
        approvals=people(run, run.votes),
        approvals_required=votes_needed(run, rules_of(run), None) if run.admitted else 0,
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
        life=run.life,
        nonce=run.nonce if run.admitted is None or run.admitted.epoch >= SIGNED_EPOCH else "",
        voices=tuple(f"{voice.name} by {voice.message['by']}" for voice in run.voices if voice.moves == run.moves),
        asked=_asked(run) if waiting else (),
        demands=demands_of_run(run),
    )


def _asked(run: Run) -> tuple[NeedView, ...]:
    reasons = run.contracts().policy.rule_reasons
    return tuple(
        NeedView(rule=need.rule, approvals=need.approvals, missing=number, role=need.role, reason=reasons.get(need.rule, ""))
        for need, number in still_asked(run, run.votes, run.contracts().policy).items()
    )


def preview_view(run: Run) -> PreviewView:
    """Return the answer of the query `preview`."""
    if run.sealed is None or run.digest is None:
        text = f"Plan {run.name} has no preview: it is in {run.state.value} ({run.why})."
        return PreviewView(plan_id=run.name, state=run.state, digest=None, text=visible(text))
    before = sealed_before(run)
    return PreviewView(
        plan_id=run.name,
        state=run.state,
        digest=run.digest,
        text=render(run.sealed, run.digest, run.state, before, closed=run.outcome is not None),
        sealed=run.sealed,
        replaced=run.replaced,
        before=before,
        changes=difference_lines(before, run.sealed) if before is not None else (),
    )


def sealed_before(run: Run) -> Sealed | None:
    """Return the content of the seal that the current one replaced; None if there was none, or the run knows it no more."""
    replaced = run.sealed.replaces if run.sealed is not None else None
    known = (*((each.digest, each.sealed) for each in run.earlier), *((each.digest, each.sealed) for each in run.seals))
    return next((sealed for digest, sealed in known if digest == replaced), None)


def render(sealed: Sealed, digest: str, state: State, before: Sealed | None = None, *, closed: bool = False) -> str:
    """Return the text of a preview, with the command that approves it only if the plan waits for approval."""
    if state is State.AWAITING_APPROVAL and not closed:
        return render_preview(sealed, digest, before)
    return render_closed(sealed, digest, state, before)


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
