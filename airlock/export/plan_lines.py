"""The lines about one plan, derived from its run's record and its place in Temporal."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import Field

from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.base.names import UNDO_PREFIX
from airlock.export.ledger import linked, plan_genesis
from airlock.export.model import (
    AuditEvent,
    ExecutionLine,
    ExecutionResult,
    ExportedModel,
    HistoryEvent,
    RollbackLine,
    ToolResult,
    TransitionLine,
)
from airlock.plans.state import State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.messages import Settlement
from airlock.run.state import Outcome
from airlock.run.views import StepView

UNDONE = "undone"
"""The name in the audit of a compensation that worked."""
_ENDED = {"live": True, "failed": False, "in_doubt": None}
_PROBED = {"probe_happened": True, "probe_did_not_happen": False}
_SETTLED = {Settlement.HAPPENED.value: True, Settlement.DID_NOT_HAPPEN.value: False}


class TracedEntry(WireModel):
    """An audit entry, and the event of the Temporal run it came from: the signal, the update, the activity's result."""

    entry: AuditEntry
    run_id: str
    event_id: int


class PlanTrace(WireModel):
    """Everything the files say of one plan, as it was read from Temporal.

    `entries` are those of all runs of the chain of continue-as-new, oldest first. `result` and `status` views both have the
    fields from `state` to `steps`. `last_run_id` and `last_event_id` are the last event that was read, `last_at` its time.
    `confidence` and `seconds` are by step; the latter the duration of the last attempt of its live call. Times are UTC.
    """

    plan_id: str
    workflow_id: str
    first_run_id: str
    last_run_id: str
    last_event_id: int
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
    refused: int = 0
    confidence: dict[str, float] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)


class PlanRecord(ExportedModel):
    """One plan's lines in the three files, its chain closed."""

    execution: ExecutionLine
    transitions: tuple[TransitionLine, ...] = ()
    rollbacks: tuple[RollbackLine, ...] = ()

    @property
    def order(self) -> tuple[datetime, str, str]:
        """The order in the files: by submission, then by workflow id; the run id tells a reused id apart."""
        return self.execution.submitted_at, self.execution.workflow_id, self.execution.first_run_id

    @property
    def events(self) -> tuple[HistoryEvent, ...]:
        """The links of its chain but the last, in order."""
        return tuple(sorted((*self.execution.events, *self.transitions, *self.rollbacks), key=lambda link: link.seq))

    def at(self, index: int) -> "PlanRecord":
        """Return the same record as plan number `index` of the files, 0 or more."""
        where = {"plan_index": index}
        return PlanRecord(
            execution=self.execution.model_copy(update=where),
            transitions=tuple(line.model_copy(update=where) for line in self.transitions),
            rollbacks=tuple(line.model_copy(update=where) for line in self.rollbacks),
        )


def plan_record(trace: PlanTrace) -> PlanRecord:
    """Return the lines of one plan. The same trace gives the same lines, byte for byte.

    Raises:
        AirlockError: If the trace has a transition without its states, which no run records.
    """
    chain, prev = [], plan_genesis(trace.workflow_id, trace.first_run_id)
    tools = {step.id: step.tool for step in trace.steps}
    for seq, traced in enumerate(trace.entries, start=1):
        link = linked(_event(trace, traced, tools), seq, prev)
        chain.append(link)
        prev = link.hash
    transitions = tuple(link for link in chain if isinstance(link, TransitionLine))
    rollbacks = tuple(link for link in chain if isinstance(link, RollbackLine))
    execution = ExecutionLine(
        plan_id=trace.plan_id,
        workflow_id=trace.workflow_id,
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
        result=_result(trace),
        transitions=len(transitions),
        rollback_events=len(rollbacks),
        events=tuple(link for link in chain if isinstance(link, AuditEvent)),
    )
    return PlanRecord(execution=linked(execution, len(chain) + 1, prev), transitions=transitions, rollbacks=rollbacks)


def _event(trace: PlanTrace, traced: TracedEntry, tools: dict[str, str]) -> AuditEvent | TransitionLine | RollbackLine:
    entry = traced.entry
    plan = {"plan_id": trace.plan_id, "workflow_id": trace.workflow_id}
    came = {"run_id": traced.run_id, "event_id": traced.event_id}
    said = {"timestamp": entry.at, "by": entry.by, "reason": entry.reason}
    if entry.kind is AuditKind.TRANSITION:
        if entry.from_state is None or entry.to_state is None:
            raise AirlockError(f"entry {entry.number} of {trace.workflow_id!r} is a transition without its states")
        moved = {"from_state": State(entry.from_state), "to_state": State(entry.to_state), "event": entry.what}
        return TransitionLine.model_validate({**plan, **came, **said, **moved, "digest": entry.digest})
    if entry.kind is AuditKind.UNDO and entry.step is not None:
        undo = {"step": entry.step, "tool_name": tools.get(entry.step), "event": entry.what}
        return RollbackLine.model_validate({**plan, **came, **said, **undo})
    more = {"step": entry.step, "digest": entry.digest, "answer": entry.answer}
    return AuditEvent.model_validate({**came, **said, **more, "kind": entry.kind, "what": entry.what})


def _result(trace: PlanTrace) -> ExecutionResult:
    entries = [traced.entry for traced in trace.entries]
    conflicts = [entry for entry in entries if entry.kind is AuditKind.CONFLICT]
    results = tuple(_tool_results(trace, entries))
    called = [found for found in results if found.calls]
    return ExecutionResult(
        successful_executions=sum(found.success is True for found in called),
        failed_executions=sum(found.success is False for found in called),
        in_doubt_executions=sum(found.success is None for found in called),
        tool_results=results,
        conflicts_detected=len(conflicts),
        conflicts_resolved=sum(entry.answer is not None for entry in conflicts),
        rollbacks_executed=sum(entry.kind is AuditKind.UNDO and entry.what == UNDONE for entry in entries),
        refused_messages=trace.refused,
    )


def _tool_results(trace: PlanTrace, entries: Sequence[AuditEntry]) -> Iterator[ToolResult]:
    about: dict[str, list[AuditEntry]] = {}
    for entry in entries:
        if entry.step is not None:
            about.setdefault(entry.step, []).append(entry)
    for step in trace.steps:
        own = about.get(step.id, [])
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
        )


def took_effect(entries: Sequence[AuditEntry]) -> bool | None:
    """Return True if a step's last live call took effect; None where none was made, or it is not known.

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
    """Return the first thing in a plan's exported chain that is not what its histories tell; empty when there is none.

    A plan that was open when it was exported may have gone on since: then its exported events must be the first ones.

    Args:
        exported: What the files say.
        derived: The lines derived again from the server's histories.
    """
    known = {event.seq: event for event in derived.events}
    for event in exported.events:
        true = known.get(event.seq)
        if true is None:
            return f"entry {event.seq} (run {event.run_id}, event {event.event_id}) is not in the histories"
        if true.hash != event.hash:
            return f"entry {event.seq} differs from run {true.run_id}, event {true.event_id}"
    if exported.execution.closed_at is None:
        return ""
    if len(known) > len(exported.events):
        return f"the histories have {len(known)} entries, the export {len(exported.events)}"
    return "" if exported.execution.hash == derived.execution.hash else "its line differs from what the histories tell"
