"""A plan's lines as schema version 1 had them, for the check of an export from before `approvals.jsonl`."""

from typing import TypeVar

from airlock.export.ledger import linked, plan_genesis
from airlock.export.lines import AuditEvent, Correlated, ExecutionLine, Link, RollbackLine, TransitionLine
from airlock.export.plan_lines import PlanRecord

L = TypeVar("L", bound=Link)
_ADDED = (*Correlated.model_fields, "seal", "seals", "seals_hash", "votes", "denials")


def as_first_version(record: PlanRecord) -> PlanRecord:
    """Return a plan's lines without the fields that came after schema version 1, as one chain of its own."""
    line = record.execution
    prev = plan_genesis(line.workflow_id, line.first_run_id)
    chain: list[Link] = []
    for seq, event in enumerate(record.events, start=1):
        chain.append(linked(_without(event), seq, prev))
        prev = chain[-1].hash
    results = tuple(result.model_copy(update={"votes": None, "denials": None}) for result in line.result.tool_results)
    execution = _without(line).model_copy(
        update={
            "result": line.result.model_copy(update={"tool_results": results}),
            "events": tuple(link for link in chain if isinstance(link, AuditEvent)),
        }
    )
    return PlanRecord(
        execution=linked(execution, line.seq, prev),
        transitions=tuple(link for link in chain if isinstance(link, TransitionLine)),
        rollbacks=tuple(link for link in chain if isinstance(link, RollbackLine)),
    )


def _without(line: L) -> L:
    return line.model_copy(update={name: None for name in _ADDED if name in type(line).model_fields})


def has_first_version(line: ExecutionLine) -> bool:
    """Return True if a plan's line was exported before there was `approvals.jsonl`."""
    return line.seals is None
