"""Lines of one plan, derived from the audit of its run and the events of its Temporal histories."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.base.names import UNDO_PREFIX
from airlock.export.approvals import SealLine
from airlock.export.fields import ExportedModel
from airlock.export.hiding import shows_the_same
from airlock.export.ledger import linked, plan_genesis, seals_genesis
from airlock.export.lines import (
    AuditEvent,
    Correlated,
    ExecutionLine,
    ExecutionResult,
    HistoryEvent,
    RollbackLine,
    ToolResult,
    TransitionLine,
)
from airlock.export.seal_lines import seal_lines, seals_in_force
from airlock.export.seal_traces import SealTrace, TracedEntry
from airlock.plans.state import State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.messages import Settlement
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import StepView

UNDONE = "undone"
"""Name of a successful compensation in the audit."""
_OF_CALLS = (AuditKind.CALL, AuditKind.DRIFT, AuditKind.UNDO)
_ENDED = {"live": True, "failed": False, "in_doubt": None}
_PROBED = {"probe_happened": True, "probe_did_not_happen": False}
_SETTLED = {Settlement.HAPPENED.value: True, Settlement.DID_NOT_HAPPEN.value: False}


class PlanTrace(WireModel):
    """Everything that the export needs of one plan, as read from Temporal. Times are UTC."""

    plan_id: str
    workflow_id: str
    first_run_id: str
    """First run of the chain of continue-as-new."""
    last_run_id: str
    """Last run that was read."""
    last_event_id: int
    """Last event of that run that was read."""
    goal: str = ""
    requested_by: str
    submitted_at: datetime
    closed_at: datetime | None
    temporal_status: str
    state: State
    outcome: Outcome | None
    why: str
    digest: str | None
    steps: tuple[StepView, ...]
    entries: tuple[TracedEntry, ...]
    """Entries of all runs of the chain, oldest first."""
    seals: tuple[SealTrace, ...] = ()
    """All seals of the plan, oldest first."""
    keys: tuple[str, ...] = ()
    """Lines of `authorized_keys` of the policies of the days on which approvals were judged."""
    phase21_plan_id: str | None = None
    phase22_validation_id: str | None = None
    refused: int = 0
    """Number of refused messages."""
    confidence: dict[str, float] = Field(default_factory=dict)
    """Stated confidence, 0.0-1.0, by step."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Duration of the last attempt of the live call, by step."""


class PlanRecord(ExportedModel):
    """Lines of one plan in the three files, with their complete chain."""

    execution: ExecutionLine
    transitions: tuple[TransitionLine, ...] = ()
    rollbacks: tuple[RollbackLine, ...] = ()
    seals: tuple[SealLine, ...] = ()

    @property
    def order(self) -> tuple[datetime, str, str]:
        """Sort key in the files: time of submission, workflow id, and the run id for a reused workflow id."""
        return self.execution.submitted_at, self.execution.workflow_id, self.execution.first_run_id

    @property
    def events(self) -> tuple[HistoryEvent, ...]:
        """Links of the chain except the last, in order."""
        return tuple(sorted((*self.execution.events, *self.transitions, *self.rollbacks), key=lambda link: link.seq))

    def at(self, index: int) -> "PlanRecord":
        """Return the same record as plan number `index` of the files, 0 or more."""
        position = {"plan_index": index}
        return PlanRecord(
            execution=self.execution.model_copy(update=position),
            transitions=tuple(line.model_copy(update=position) for line in self.transitions),
            rollbacks=tuple(line.model_copy(update=position) for line in self.rollbacks),
            seals=tuple(line.model_copy(update=position) for line in self.seals),
        )


def plan_record(trace: PlanTrace) -> PlanRecord:
    """Return the lines of one plan. The same trace gives the same lines, byte for byte.

    Raises:
        AirlockError: If the trace has a transition without its states, which no run records.
    """
    chain, prev = [], plan_genesis(trace.workflow_id, trace.first_run_id)
    tools = {step.id: step.tool for step in trace.steps}
    plan = _plan_fields(trace)
    seals = seal_lines(plan, trace.first_run_id, trace.seals, trace.entries, trace.keys)
    force = seals_in_force(trace.entries)
    for seq, (traced, seal) in enumerate(zip(trace.entries, force, strict=True), start=1):
        link = linked(_event(plan, traced, tools, seal), seq, prev)
        chain.append(link)
        prev = link.hash
    transitions = tuple(link for link in chain if isinstance(link, TransitionLine))
    rollbacks = tuple(link for link in chain if isinstance(link, RollbackLine))
    execution = ExecutionLine(
        **plan,
        first_run_id=trace.first_run_id,
        run_id=trace.last_run_id,
        event_id=trace.last_event_id,
        undo=trace.workflow_id.startswith(UNDO_PREFIX),
        goal=trace.goal,
        requested_by=trace.requested_by,
        submitted_at=trace.submitted_at,
        closed_at=trace.closed_at,
        temporal_status=trace.temporal_status,
        state=trace.state,
        outcome=trace.outcome,
        why=trace.why,
        digest=trace.digest,
        result=_result(trace, seals),
        transitions=len(transitions),
        rollback_events=len(rollbacks),
        seals=len(seals),
        seals_hash=seals[-1].hash if seals else seals_genesis(trace.workflow_id, trace.first_run_id),
        events=tuple(link for link in chain if isinstance(link, AuditEvent)),
    )
    line = linked(execution, len(chain) + 1, prev)
    return PlanRecord(execution=line, transitions=transitions, rollbacks=rollbacks, seals=seals)


def _plan_fields(trace: PlanTrace) -> dict[str, Any]:
    return {
        "plan_id": trace.plan_id,
        "workflow_id": trace.workflow_id,
        "phase21_plan_id": trace.phase21_plan_id,
        "phase22_validation_id": trace.phase22_validation_id,
    }


def _event(
    plan: dict[str, Any], traced: TracedEntry, tools: dict[str, str], seal: str | None
) -> AuditEvent | TransitionLine | RollbackLine:
    entry = traced.entry
    phases = {name: plan[name] for name in Correlated.model_fields}
    origin = {"run_id": traced.run_id, "event_id": traced.event_id}
    author = {"timestamp": entry.at, "by": entry.by, "reason": entry.reason}
    if entry.kind is AuditKind.TRANSITION:
        if entry.from_state is None or entry.to_state is None:
            raise AirlockError(f"entry {entry.number} of {plan['workflow_id']!r} is a transition without its states")
        transition = {"from_state": State(entry.from_state), "to_state": State(entry.to_state), "event": entry.what}
        return TransitionLine.model_validate({**plan, **origin, **author, **transition, "digest": entry.digest})
    if entry.kind is AuditKind.UNDO and entry.step is not None:
        undo = {"step": entry.step, "tool_name": tools.get(entry.step), "event": entry.what, "seal": seal}
        return RollbackLine.model_validate({**plan, **origin, **author, **undo})
    details = {
        "step": entry.step,
        "digest": entry.digest,
        "answer": entry.answer,
        "signed": entry.signed,
        "gate": entry.gate,
        "also": entry.also,
    }
    under = {"seal": seal if entry.kind in _OF_CALLS else None}
    return AuditEvent.model_validate(
        {**phases, **origin, **author, **details, **under, "kind": entry.kind, "what": entry.what}
    )


def _result(trace: PlanTrace, seals: Sequence[SealLine]) -> ExecutionResult:
    entries = [traced.entry for traced in trace.entries]
    conflicts = [entry for entry in entries if entry.kind is AuditKind.CONFLICT]
    results = tuple(_tool_results(trace, entries, seals))
    called = [result for result in results if result.calls]
    return ExecutionResult(
        successful_executions=sum(result.success is True for result in called),
        failed_executions=sum(result.success is False for result in called),
        in_doubt_executions=sum(result.success is None for result in called),
        tool_results=results,
        conflicts_detected=len(conflicts),
        conflicts_resolved=sum(entry.answer is not None for entry in conflicts),
        rollbacks_executed=sum(entry.kind is AuditKind.UNDO and entry.what == UNDONE for entry in entries),
        refused_messages=trace.refused,
    )


def _tool_results(trace: PlanTrace, entries: Sequence[AuditEntry], seals: Sequence[SealLine]) -> Iterator[ToolResult]:
    votes, denials = votes_by_step(seals)
    by_step: dict[str, list[AuditEntry]] = {}
    for entry in entries:
        if entry.step is not None:
            by_step.setdefault(entry.step, []).append(entry)
    for step in trace.steps:
        own = by_step.get(step.id, [])
        yield ToolResult(
            step=step.id,
            tool_name=step.tool,
            agent=step.agent,
            status=step.status,
            success=took_effect(own),
            calls=sum(entry.kind is AuditKind.CALL and entry.what in _ENDED for entry in own),
            confidence=trace.confidence.get(step.id),
            risk=step.risk,
            reversibility=step.reversibility,
            ceiling=step.ceiling,
            reasons=step.reasons,
            attempt=step.attempt,
            seconds=trace.seconds.get(step.id),
            drift=step.drift,
            error=step.error,
            votes=votes[step.id],
            denials=denials[step.id],
        )


def votes_by_step(seals: Sequence[SealLine]) -> tuple[Counter[str], Counter[str]]:
    """Return the number of counted approvals and of counted denials of each step, under all seals of a plan."""
    approvals, denials = Counter[str](), Counter[str]()
    for voices in (voices for seal in seals for voices in seal.by_step):
        approvals[voices.step] += len(voices.approved_by)
        denials[voices.step] += len(voices.denied_by)
    return approvals, denials


def took_effect(entries: Sequence[AuditEntry]) -> bool | None:
    """Return True if a step's last live call took effect; None if no call was made, or it is in doubt.

    Args:
        entries: The audit entries about the step, oldest first.
    """
    effect: bool | None = None
    for entry in entries:
        if entry.kind is AuditKind.CALL:
            effect = {**_ENDED, **_PROBED}.get(entry.what, effect)
        elif entry.kind is AuditKind.DECISION and entry.what == "resolve" and entry.answer is not None:
            effect = _SETTLED.get(entry.answer, effect)
    return effect


def first_difference(exported: PlanRecord, derived: PlanRecord) -> str:
    """Return the first difference between a plan's exported chain and its histories; empty if there is none.

    A plan that was open at the export may have more events now. Its exported events must be the first of them.

    Args:
        exported: Record in the files.
        derived: Record derived again from the server's histories.
    """
    known = {event.seq: event for event in derived.events}
    for event in exported.events:
        actual = known.get(event.seq)
        if actual is None:
            return f"entry {event.seq} (run {event.run_id}, event {event.event_id}) is not in the histories"
        if actual.hash != event.hash:
            return f"entry {event.seq} differs from run {actual.run_id}, event {actual.event_id}"
    if other := _other_content(exported, derived):
        return other
    if exported.execution.closed_at is None:
        return ""
    if len(known) > len(exported.events):
        return f"the histories have {len(known)} entries, the export {len(exported.events)}"
    return "" if exported.execution.hash == derived.execution.hash else "its line differs from the histories"


def _other_content(exported: PlanRecord, derived: PlanRecord) -> str:
    """Return the first seal with hidden values whose visible content is another one: its hash leaves the content out."""
    true = {seal.digest: seal.content for seal in derived.seals}
    for seal in exported.seals:
        content = true.get(seal.digest)
        if seal.content is not None and content is not None and not shows_the_same(seal.content, content):
            return f"the content of seal {seal.digest[:12]} differs from what the histories tell"
    return ""
