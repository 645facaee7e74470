"""The files that `export` writes, with the model and the JSON Schema of each."""

from typing import Any, Final

from pydantic import BaseModel

from airlock.export.approvals import SealLine
from airlock.export.documents import Document, OrchestrationSummary, SystemHealth, ToolConflicts
from airlock.export.lines import ExecutionLine, Link, RollbackLine, SignalLine, TransitionLine

EXECUTIONS: Final = "tool_execution_log.jsonl"
SUMMARY: Final = "orchestration_summary.json"
TRANSITIONS: Final = "execution_state_transitions.jsonl"
CONFLICTS: Final = "tool_conflicts.json"
ROLLBACKS: Final = "rollback_events.jsonl"
SIGNALS: Final = "learning_signals.jsonl"
HEALTH: Final = "system_health.json"
APPROVALS: Final = "approvals.jsonl"

LINES: Final[dict[str, type[Link]]] = {
    EXECUTIONS: ExecutionLine,
    TRANSITIONS: TransitionLine,
    ROLLBACKS: RollbackLine,
    SIGNALS: SignalLine,
    APPROVALS: SealLine,
}
"""Model of a line of each JSONL file, by file name."""
DOCUMENTS: Final[dict[str, type[Document]]] = {SUMMARY: OrchestrationSummary, CONFLICTS: ToolConflicts, HEALTH: SystemHealth}
"""Model of each JSON file, by file name."""
SEVEN_FILES: Final = (EXECUTIONS, SUMMARY, TRANSITIONS, CONFLICTS, ROLLBACKS, SIGNALS, HEALTH)
"""Files of an export of schema version 1."""
EXPORT_FILES: Final = (*SEVEN_FILES, APPROVALS)
"""Files of an export."""


def export_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each file, by its name without ending; of a JSONL file, that of one line."""
    models: dict[str, type[BaseModel]] = {**LINES, **DOCUMENTS}
    return {name.partition(".")[0]: models[name].model_json_schema(mode="serialization") for name in EXPORT_FILES}
