"""Totals over the exported plans, counted plan by plan, for the two documents with sums."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.export.documents import ToolConflicts
from airlock.export.ledger import closed
from airlock.export.lines import ExecutionLine
from airlock.export.plan_lines import PlanRecord
from airlock.run.audit import AuditKind
from airlock.run.outcome import Outcome

SUCCESSFUL = (Outcome.COMPLETED, Outcome.PARTIAL, Outcome.REHEARSED)
"""Outcomes of a plan that did everything that its policy and its approver allowed."""


@dataclass
class Totals:
    """Sums over all plans so far. Their size does not grow with the number of plans."""

    lines: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    by_type: Counter[ConflictKind] = field(default_factory=Counter)
    by_answer: Counter[Answer] = field(default_factory=Counter)
    start: datetime | None = None
    end: datetime | None = None

    def add(self, record: PlanRecord) -> None:
        """Count one plan, or the undo of one."""
        plan, result = record.execution, record.execution.result
        self.lines.update(
            executed=result.successful_executions + result.failed_executions,
            in_doubt=result.in_doubt_executions,
            rollbacks=result.rollbacks_executed,
            transitions=plan.transitions,
            seals=len(record.seals),
        )
        for decision in (decision for seal in record.seals for decision in seal.decisions):
            self.lines[decision.decision] += decision.counted
        self.lines[_verdict(plan)] += 1
        if plan.outcome is not None and plan.closed_at is not None and not plan.undo:
            self.outcomes[plan.outcome] += 1
        for event in plan.events:
            if event.kind is AuditKind.CONFLICT:
                self.by_type[ConflictKind(event.what)] += 1
                if event.answer is not None:
                    self.by_answer[Answer(event.answer)] += 1
        self._extend((plan.submitted_at, *(event.timestamp for event in record.events)))
        if plan.closed_at is not None:
            self._extend((plan.closed_at,))

    def _extend(self, times: Iterable[datetime]) -> None:
        found = [*times, *(known for known in (self.start, self.end) if known is not None)]
        self.start, self.end = min(found), max(found)

    def summary(self) -> dict[str, Any]:
        """Return the totals under their names in `orchestration_summary.json`."""
        verdicts = {name: self.lines[name] for name in ("successful", "failed", "open")}
        return {
            "start_time": self.start,
            "end_time": self.end,
            "plans_processed": sum(verdicts.values()),
            **{f"plans_{name}": count for name, count in verdicts.items()},
            "undos_processed": self.lines["undo"],
            "by_outcome": {outcome: self.outcomes[outcome] for outcome in Outcome},
            "total_tools_executed": self.lines["executed"],
            "total_in_doubt": self.lines["in_doubt"],
            "total_conflicts": sum(self.by_type.values()),
            "total_rollbacks": self.lines["rollbacks"],
            "total_transitions": self.lines["transitions"],
            "total_seals": self.lines["seals"],
            "total_approvals": self.lines["approve"],
            "total_denials": self.lines["deny"],
        }

    def conflicts(self) -> ToolConflicts:
        """Return `tool_conflicts.json` with its digests."""
        return closed(
            ToolConflicts(
                total_conflicts=sum(self.by_type.values()),
                by_type={kind: self.by_type[kind] for kind in ConflictKind},
                by_resolution_strategy={answer: self.by_answer[answer] for answer in Answer},
            )
        )


def _verdict(plan: ExecutionLine) -> str:
    if plan.undo:
        return "undo"
    if plan.closed_at is None:
        return "open"
    return "successful" if plan.outcome in SUCCESSFUL else "failed"
