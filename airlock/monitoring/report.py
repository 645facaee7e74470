"""Reports: the counts of one stage of a plan, in bounded size for any number of steps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.model import WireModel
from airlock.base.sketch import Sketch
from airlock.monitoring.aggregation import Aggregate, CallError, Decision, Stage
from airlock.monitoring.observation import ObservedCall, observe
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Step
from airlock.plans.state import Event, State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.decisions.entry import REFUSED_ENTRY
from airlock.run.live.call_results import outcome_of
from airlock.run.outcome import Outcome
from airlock.run.state import Run

SLOW_SHARE = 0.5
"""Share of the contract's timeout from which a call is slow."""
POLICY = "policy"
"""Author in the audit of an approval that the policy waives."""

_STAGES = {
    State.MOCK: Stage.REHEARSAL,
    State.DRY_RUN: Stage.REHEARSAL,
    State.AWAITING_APPROVAL: Stage.REHEARSAL,
    State.LIVE: Stage.LIVE,
    State.ROLLBACK: Stage.ROLLBACK,
}
_REHEARSED = (Event.REHEARSED.value, Event.CAPPED.value)
_PREVIEWED = (Event.PREVIEWED.value, Event.CAPPED.value)


class ReportKey(WireModel):
    """Key under which a report is counted once."""

    name: str
    """Plan id, or `undo-<plan_id>`."""
    run_id: str
    """Id of the first run in the chain of continue-as-new."""
    stage: Stage
    since: int
    """Number of the last audit entry that earlier reports cover. It tells the stays in one stage apart."""

    @property
    def text(self) -> str:
        """Key as one text: two reports with the same text are the same report."""
        return f"{self.name}/{self.run_id}/{self.stage.value}/{self.since}"


class Report(WireModel):
    """Counts of one stage of one plan."""

    key: ReportKey
    at: datetime
    """End of the stage, UTC."""
    facts: Aggregate


def stage_of(state: State) -> Stage | None:
    """Return the stage of a state; None where the plan is locked or has ended."""
    return _STAGES.get(state)


def stage_left(run: Run) -> Stage:
    """Return the last stage of a run that is locked or has ended."""
    for entry in reversed(run.audit):
        if entry.from_state is not None and (stage := stage_of(State(entry.from_state))) is not None:
            return stage
    return Stage.REHEARSAL


def report_of(run: Run, stage: Stage, *, run_id: str, since: int, at: datetime) -> Report:
    """Return the report of a stage that has just ended.

    It covers every audit entry after `since`. Pass the `run.audited` of one report as the `since` of the next, so that each
    entry is counted exactly once. Call it when the plan leaves a stage, before the next one begins, and at its end.

    Args:
        run: The plan's run; not changed.
        stage: The stage.
        run_id: The id of the first run in its chain of continue-as-new.
        since: The number of the last audit entry that earlier reports cover, 0 for the first report.
        at: End of the stage, UTC.
    """
    entries = [entry for entry in run.audit if entry.number > since]
    facts = observe((*_rehearsed_calls(run, entries), *_live_calls(run, entries)))
    earlier = [entry for entry in run.audit if entry.number <= since]
    facts += _call_entries(entries) + _conflicts(entries, earlier) + _decision(entries) + _end(run)
    facts += Aggregate(reports={stage: 1}, ceilings=_ceilings(run, entries))
    return Report(key=ReportKey(name=run.name, run_id=run_id, stage=stage, since=since), at=at, facts=facts)


def _left(entries: Sequence[AuditEntry], state: State, events: Sequence[str]) -> bool:
    """Return True if the plan left a state by one of these events."""
    return any(entry.from_state == state.value and entry.what in events for entry in entries)


def _rehearsed_calls(run: Run, entries: Sequence[AuditEntry]) -> Iterator[ObservedCall]:
    if run.undoing is not None:
        return  # an undo run rehearses no step
    by_id = {step.id: step for step in run.steps}
    if _left(entries, State.MOCK, _REHEARSED):
        failed = set(run.mock_failed)
        for step in run.left(Mode.MOCK):
            yield _rehearsed(by_id[step], Mode.MOCK, ok=step not in failed)
    if _left(entries, State.DRY_RUN, _PREVIEWED):
        contracts = run.contracts()
        for step in run.fallen:
            if step not in run.mock_failed and contracts.contract(step).has_dry_run:
                yield _rehearsed(by_id[step], Mode.DRY_RUN, ok=False)
        for step in _looked_at(run, sealed=_left(entries, State.DRY_RUN, (Event.PREVIEWED.value,))):
            yield _rehearsed(by_id[step], Mode.DRY_RUN, ok=True)


def _rehearsed(step: Step, mode: Mode, *, ok: bool) -> ObservedCall:
    return ObservedCall(tool=step.tool, agent=step.agent, mode=mode, ok=ok, confidence=step.confidence)


def _looked_at(run: Run, *, sealed: bool) -> tuple[str, ...]:
    """Return the steps whose dry run was called and succeeded. Sealing moves the previews into the seal."""
    if not sealed or run.sealed is None:
        return tuple(step for step, preview in run.previews.items() if preview.looked)
    return tuple(step.id for step in run.sealed.steps if step.preview and step.preview.looked)


def _live_calls(run: Run, entries: Sequence[AuditEntry]) -> Iterator[ObservedCall]:
    by_id = {step.id: step for step in run.steps}
    for entry in entries:
        if entry.kind is not AuditKind.CALL or entry.step is None or entry.what not in ("live", "failed", "in_doubt"):
            continue
        record = run.calls.get(entry.step)
        # after a later call of the step, the record is of that one: of this call only the entry is left
        own = record if record is not None and record.number == entry.number else None
        yield _live_call(by_id[entry.step], run.contracts().contract(entry.step), _error(entry, own), own)


def _live_call(step: Step, contract: Contract, error: CallError | None, record: CallRecord | None) -> ObservedCall:
    # a duration comes with an output only: a call whose doubt was settled has none
    seconds = record.seconds if record is not None and record.seconds > 0 else None
    return ObservedCall(
        tool=step.tool,
        agent=step.agent,
        mode=Mode.LIVE,
        ok=error is None,
        error=error,
        confidence=step.confidence,
        seconds=seconds,
        slow=seconds is not None and seconds > SLOW_SHARE * contract.timeout,
        irreversible=contract.irreversible,
        drifted=bool(record and record.drift),
        matched=record.matched if record else None,
    )


def _error(entry: AuditEntry, record: CallRecord | None) -> CallError | None:
    if entry.what == "live":
        return CallError.BROKEN if entry.reason else None
    if entry.what == "failed":
        return CallError.FAILED
    if record is None or record.status in (CallStatus.IN_DOUBT, CallStatus.KEPT):
        return CallError.IN_DOUBT
    return CallError.FAILED if record.failed else None  # a probe or a person has settled it


def _call_entries(entries: Sequence[AuditEntry]) -> Aggregate:
    """Count the entries that need no context."""
    number = Counter((entry.kind, entry.what) for entry in entries)
    return Aggregate(
        stale=number[AuditKind.CALL, "stale"],
        undone=number[AuditKind.UNDO, "undone"],
        undo_failed=number[AuditKind.UNDO, "undo_failed"],
        kept=number[AuditKind.UNDO, "kept"],
    )


def _conflicts(entries: Sequence[AuditEntry], earlier: Sequence[AuditEntry]) -> Aggregate:
    """Count a plan once, at its first admission: an unlocked plan is admitted again."""
    found = [entry for entry in entries if entry.kind is AuditKind.CONFLICT]
    looked = any(map(_admitted, entries)) and not any(map(_admitted, earlier))
    kinds = Counter(ConflictKind(entry.what) for entry in found)
    return Aggregate(
        rehearsals=int(looked),
        conflicted=int(looked and bool(found)),
        conflicted_by=dict.fromkeys(kinds, 1) if looked else {},
        conflicts=dict(kinds),
        answers=dict(Counter(Answer(entry.answer) for entry in found if entry.answer is not None)),
    )


def _admitted(entry: AuditEntry) -> bool:
    return entry.kind is AuditKind.ADMISSION and entry.what == "admitted"


def _decision(entries: Sequence[AuditEntry]) -> Aggregate:
    """Count the end of the wait for approval, and its duration in seconds."""
    asked: datetime | None = None
    decided: list[Decision] = []
    waited: list[float] = []
    for entry in entries:
        if entry.to_state == State.AWAITING_APPROVAL.value:
            asked = entry.at
        elif entry.from_state == State.AWAITING_APPROVAL.value and entry.what in _DECIDED:
            waived = entry.what == Event.APPROVED.value and entry.by == POLICY
            decided.append(Decision.WAIVED if waived else _DECIDED[entry.what])
            if asked is not None and not waived:
                waited.append((entry.at - asked).total_seconds())
    return Aggregate(decided=dict(Counter(decided)), waited=Sketch.of(waited))


_DECIDED = {
    Event.APPROVED.value: Decision.APPROVED,
    Event.DENIED.value: Decision.DENIED,
    Event.EXPIRED.value: Decision.EXPIRED,
}


def _ceilings(run: Run, entries: Sequence[AuditEntry]) -> dict[Mode, int]:
    """Count the ceilings of all steps, if the rehearsal came to its end."""
    last = (Event.CAPPED.value, Event.PREVIEWED.value)
    done = _left(entries, State.MOCK, last) or _left(entries, State.DRY_RUN, last)
    if run.undoing is not None or not done:
        return {}
    return dict(Counter(ceiling.mode for ceiling in run.ceilings.values()))


def _was_live(run: Run) -> bool:
    """Return True if a run was LIVE: it entered that state, and the live role did not refuse the entry."""
    if run.undoing is not None:
        return any(entry.kind is AuditKind.UNDO for entry in run.audit)  # an undo makes no calls but compensations
    stays = called = False
    for entry in run.audit:
        if stays and entry.from_state == State.LIVE.value:
            if called or not _refused_entry(entry):
                return True
            stays = False
        if entry.to_state == State.LIVE.value:
            stays, called = True, False
        called = called or entry.kind is AuditKind.CALL
    return stays


def _refused_entry(left: AuditEntry) -> bool:
    """Return True if a plan left LIVE because the live role refused the entry: to admission, to its preview, or locked."""
    by_airlock = left.by == "airlock" and left.reason.startswith(REFUSED_ENTRY)
    return by_airlock or left.what == Event.ENTRY_REFUSED.value


def _end(run: Run) -> Aggregate:
    if run.outcome is None and not run.state.closed:
        return Aggregate()
    outcome, was_live = outcome_of(run), _was_live(run)
    # a plan that never was LIVE passes through ROLLBACK too, with nothing to roll back
    rolled_back = was_live and any(entry.to_state == State.ROLLBACK.value for entry in run.audit)
    return Aggregate(
        outcomes={outcome: 1} if run.undoing is None else {},
        undo_runs=int(run.undoing is not None),
        ended_live=int(was_live),
        rolled_back=int(rolled_back),
        clean=int(was_live and not rolled_back and outcome in (Outcome.COMPLETED, Outcome.PARTIAL)),
    )
