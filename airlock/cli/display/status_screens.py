"""The screens of a plan's status. Texts of agents are printed as they are, never as markup."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airlock.cli.display.screens import moment, state_style
from airlock.cli.output import safe
from airlock.client import PlanFacts
from airlock.program import as_started
from airlock.run.outcome import Outcome
from airlock.run.presentation.last_status import last_status
from airlock.run.presentation.views import StatusView, StepView

_STATUS_STYLES = {"live": "green", "calling": "magenta", "failed": "red", "in_doubt": "bold red", "undo_failed": "red"}
_UNTOUCHED = ("waiting", "calling")


def settled(steps: Sequence[StepView]) -> int:
    """Return the number of steps whose live call has ended, in any way."""
    return sum(step.status not in _UNTOUCHED for step in steps)


def headline(status: StatusView) -> Text:
    """Return one line: the plan, its state and the reason."""
    ended = f" ({status.outcome.value})" if status.outcome else ""
    return Text.assemble(
        (safe(status.plan_id), "bold"), "  ", (f"{status.state.value}{ended}", state_style(status.state)),
        f"  {safe(status.why_words)}",
    )  # fmt: skip


def status_screen(status: StatusView) -> RenderableType:
    """Return the state of a plan: its steps, its next event, and the messages refused lately."""
    lines: list[RenderableType] = [headline(status), steps_table(status.steps, status.outcome)]
    lines.append(Text(f"Waits for: {safe(status.waits_for)}"))
    if status.refused:
        lines.append(Text(f"Refused messages: {status.refused}, the last ones:", style="yellow"))
        lines += [
            Text(f"  {moment(entry.at)}  {safe(entry.what)} by {safe(entry.by)}: {safe(entry.reason)}")
            for entry in status.refusals
        ]
    return Group(*lines)


def steps_table(steps: Sequence[StepView], outcome: Outcome | None) -> Table:
    """Return a table of all steps of a plan, open or ended so, with their ceilings, statuses and reasons."""
    table = Table()
    for column in ("step", "tool", "agent", "risk", "ceiling", "status", "why"):
        table.add_column(column, overflow="fold")
    for step in steps:
        why = as_started(step.error) or "; ".join(step.reasons)
        drifted = f" (drift: {', '.join(step.drift)})" if step.drift else ""
        table.add_row(
            Text(safe(step.id)),
            Text(safe(step.tool)),
            Text(safe(step.agent)),
            safe(step.risk or ""),
            step.ceiling.value if step.ceiling else "",
            Text(safe(last_status(step, outcome)) + _approved(step), style=_STATUS_STYLES.get(step.status, "")),
            Text(safe(why + drifted)),
        )
    return table


def _approved(step: StepView) -> str:
    return f", approved by {', '.join(map(safe, step.approved_by))}" if step.approved_by else ""


def facts_screen(facts: PlanFacts) -> RenderableType:
    """Return Temporal's own facts about a plan, for when no worker answers."""
    summary = facts.summary
    lines: list[RenderableType] = [
        Text.assemble(
            (safe(summary.plan_id), "bold"), "  ", (safe(summary.state or "(state unknown)"), state_style(summary.state)),
            f"  outcome {safe(summary.outcome or '-')}, Temporal says {summary.status}",
        ),
        Text(f"{safe(facts.goal)}"),
        Text(f"started {moment(summary.started_at)} UTC, closed {moment(summary.closed_at) or '-'}"),
    ]  # fmt: skip
    if facts.result is not None:
        lines.append(Text(f"Result: {facts.result.outcome.value}: {safe(facts.result.why)}"))
        lines.append(steps_table(facts.result.steps, facts.result.outcome))
    for call in facts.pending:
        failed = f", last failure: {safe(call.last_failure)}" if call.last_failure else ""
        named = f"{safe(call.activity)} ({safe(call.kind)})"
        lines.append(Text(f"pending: {named} {call.state}, attempt {call.attempt}{failed}"))
    lines.append(Text("last events of the history, newest first:", style="dim"))
    lines += [Text(f"  {event.number:>5}  {moment(event.at)}  {event.event}  {safe(event.what)}") for event in facts.events]
    return Group(*lines)
