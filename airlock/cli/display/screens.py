"""The list of plans and the locks on a screen, with the state and the time as every screen shows them."""

import shlex
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from airlock.base.person import KEY_FILE
from airlock.cli.display.fitting_table import FittingTable
from airlock.cli.output import safe
from airlock.client.listing import PlanSummary
from airlock.gates.view import GateView
from airlock.plans.state import State
from airlock.program import program

_STATE_STYLES = {
    State.MOCK: "cyan",
    State.DRY_RUN: "cyan",
    State.AWAITING_APPROVAL: "bold yellow",
    State.LIVE: "bold magenta",
    State.ROLLBACK: "bold red",
    State.LOCKED: "bold red",
    State.ABORTED: "red",
    State.COMPLETED: "bold green",
}


def state_style(state: str | None) -> str:
    """Return the colour of a state; empty for a state that this version does not know."""
    return _STATE_STYLES.get(State(state), "") if state in set(State) else ""


def moment(at: datetime | None) -> str:
    """Return a UTC time as text; empty for None."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def unlock_hint(scope: str | None = None) -> str:
    """Return the command that lifts a lock of the live gate; which evidence that needs, only its workers know."""
    which = f"--scope {shlex.quote(scope)} " if scope else ""
    return f"{program()} unlock {which}--reason ... (with --sign-key {KEY_FILE} where the policy asks for a signature)"


def lock_lines(gate: GateView) -> list[str]:
    """Return one line for each lock of the live gate, with the command that lifts it."""
    return [
        f"LOCKED: {safe(lock.scope or 'everything')}, by {safe(lock.by)} since {moment(lock.at)} UTC: {safe(lock.reason)}. "
        f"To lift it: {unlock_hint(lock.scope)}"
        for lock in gate.locks
    ]


def plans_table(plans: Sequence[PlanSummary]) -> FittingTable:
    """Return a table of plans."""
    table = FittingTable()
    for column in ("plan", "state", "outcome", "risk", "agents", "Temporal", "started (UTC)", "closed (UTC)"):
        table.add_column(column, overflow="fold")
    for plan in plans:
        table.add_row(
            Text(safe(plan.plan_id), style="bold"),
            Text(safe(plan.state or ""), style=state_style(plan.state)),
            safe(plan.outcome or ""),
            safe(plan.risk or ""),
            Text(safe(", ".join(plan.agents))),
            plan.status,
            moment(plan.started_at),
            moment(plan.closed_at),
        )
    return table
