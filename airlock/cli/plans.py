"""`list` and `show`: all plans, and the state of one. Both work when no worker does."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from airlock.base.errors import Problem
from airlock.base.text import shorten
from airlock.cli.hints import preview_as_started, status_as_started
from airlock.cli.output import OK, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.screens import facts_screen, lock_lines, moment, plans_table, status_screen
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.gates.view import GateView
from airlock.plans.state import State
from airlock.program import program
from airlock.run.preview import step_text
from airlock.run.views import AuditView

_GATE_WITHIN = 5.0
"""Seconds that a list waits for the live gate to say whether it is locked."""

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="The plan id, or its workflow id.")]


@command
async def list_(
    state: Annotated[
        State | None,
        typer.Option(
            "--state", metavar="STATE", help=f"Only plans in this state: {', '.join(State)}.", case_sensitive=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="The most plans to list.")] = 50,
    as_json: AsJson = False,
) -> int:
    """List plans, newest first.

    The list comes from Temporal's visibility. It needs no worker, and is a second behind at worst.
    """
    airlock = await Airlock.connect()
    plans, gate = await asyncio.gather(airlock.plans(state=state, limit=limit), _live_gate(airlock))
    if as_json:
        emit({"plans": list(plans), "locks": None if isinstance(gate, str) else [] if gate is None else list(gate.locks)})
        return OK
    for line in [gate] if isinstance(gate, str) else [] if gate is None else lock_lines(gate):
        warn(line)
    if not plans:
        say("There are no plans" + (f" in {state.value}." if state else f". Submit one: {program()} start PLAN.json"))
    else:
        console().print(plans_table(plans))
    return OK


async def _live_gate(airlock: Airlock) -> GateView | str | None:
    """Return the live gate, None if there is none yet, or the reason why it cannot be read."""
    try:
        return await LiveGate(airlock.client).status(within=_GATE_WITHIN)
    except NoAnswer as error:
        return f"{error}; while no worker answers, no plan can enter LIVE"


@command
async def show(
    plan: PlanName,
    audit: Annotated[bool, typer.Option("--audit", help="Everything the run recorded, oldest first.")] = False,
    step: Annotated[
        str | None, typer.Option("--step", metavar="ID", help="Only this step of the preview, with all its arguments.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show a plan: its preview, its steps, what it waits for.

    The preview is the one that an approver reads: of calls that write it leaves out nothing. Each step has its ceiling and
    its status. Without a worker the command shows the facts that Temporal itself has, and says so.
    """
    handle = (await Airlock.connect()).plan(plan)
    if step is not None:
        return await _show_step(handle, step, as_json=as_json)
    try:
        await _show_answered(handle, audit=audit, as_json=as_json)
    except NoAnswer as error:
        await _show_facts(handle, str(error), as_json=as_json)
    return OK


async def _show_step(handle: PlanHandle, step: str, *, as_json: bool) -> int:
    """Show one step; without the digest, because one step alone is not what is approved."""
    sealed = (await handle.preview()).sealed
    text = None if sealed is None else step_text(sealed, step)
    if sealed is None or text is None:
        known = [] if sealed is None else [each.id for each in sealed.steps or (sealed.undo.steps if sealed.undo else ())]
        problem = Problem(
            where="--step",
            message="there is no preview yet" if sealed is None else f"there is no step {shorten(step, 100)!r}",
            fix=f"see {program()} show {handle.plan_id}" + (f"; its steps: {', '.join(known[:20])}" if known else ""),
        )
        raise Refusal("this step cannot be shown", [problem])
    if as_json:
        steps = sealed.steps if sealed.undo is None else sealed.undo.steps
        emit({"plan_id": handle.plan_id, "step": next(each for each in steps if each.id == step)})
    else:
        say(text)
    return OK


async def _show_answered(handle: PlanHandle, *, audit: bool, as_json: bool) -> None:
    status = status_as_started(await handle.status())
    preview = preview_as_started(await handle.preview())
    recorded = await handle.audit() if audit else None
    if as_json:
        document: dict[str, Any] = {"answered": True, "status": status, "preview": preview}
        emit(document if recorded is None else {**document, "audit": recorded})
        return
    say(preview.text)
    say()
    console().print(status_screen(status))
    if recorded is not None:
        console().print(_audit_table(recorded))


async def _show_facts(handle: PlanHandle, why: str, *, as_json: bool) -> None:
    facts = await handle.facts()
    if as_json:
        emit({"answered": False, "why": why, "facts": facts})
        return
    warn(f"{why}\nThis is what Temporal itself knows:")
    console().print(facts_screen(facts))


def _audit_table(audit: AuditView) -> Table:
    table = Table(title=f"Audit: {len(audit.entries)} entries, {audit.refused} refused messages", title_justify="left")
    for column in ("#", "at (UTC)", "kind", "what", "by", "step", "state", "reason"):
        table.add_column(column, overflow="fold")
    for entry in audit.entries:
        moved = f"{entry.from_state} -> {entry.to_state}" if entry.to_state else ""
        table.add_row(
            str(entry.number), moment(entry.at), entry.kind.value, safe(entry.what), safe(entry.by),
            entry.step or "", moved, safe(entry.reason),
        )  # fmt: skip
    return table
