"""Reports of stages of a run, and what they tell of the calls in each mode."""

from airlock.admission.conflicts.conflict import Conflict
from airlock.monitoring.aggregation import Aggregate, Stage
from airlock.monitoring.report import Report, report_of
from airlock.plans.contract import Mode
from airlock.run.audit import AuditKind
from airlock.run.rehearsal import begin_rehearsal, record_conflicts
from airlock.run.state import Run
from tests.core.build import NOW, admitted, plan, step

THREE = plan(
    step("look", "read", confidence=0.9),
    step("change", "write", "look", confidence=0.85),
    step("tell", "mail", "change", confidence=0.95),
)


def reported(run: Run, stage: Stage, since: int = 0) -> Report:
    return report_of(run, stage, run_id="first", since=since, at=NOW)


def tallies(facts: Aggregate) -> dict[str, tuple[int, int]]:
    return {mode.value: (facts.tally(mode).calls, facts.tally(mode).ok) for mode in Mode if facts.tally(mode).calls}


def admitted_run(proposed: object = THREE, *conflicts: Conflict) -> Run:
    """Return a run in MOCK whose admission is in the audit, as the workflow writes it."""
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)  # type: ignore[arg-type]
    run.record(AuditKind.ADMISSION, "admitted", NOW)
    record_conflicts(run, conflicts, NOW)
    begin_rehearsal(run, admitted(run.plan))
    return run
