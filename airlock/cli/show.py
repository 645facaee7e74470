"""`show`: the state of one plan. It works when no worker does."""

from typing import Annotated, Any

import typer

from airlock.base.errors import Problem
from airlock.base.text import count, listed, shorten
from airlock.cli.display.fitting_table import FittingTable
from airlock.cli.display.hints import preview_as_started, status_as_started
from airlock.cli.display.preview_screen import say_preview
from airlock.cli.display.screens import moment
from airlock.cli.display.status_screens import facts_screen, status_screen
from airlock.cli.missing_workers import with_workers
from airlock.cli.output import OK, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.patience import patiently
from airlock.cli.settings import labelled_passkeys
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.plans.state import State
from airlock.program import program
from airlock.run.presentation.lock_decision import lock_decision
from airlock.run.presentation.preview import step_text
from airlock.run.presentation.preview_check import fitting_status
from airlock.run.presentation.views import AuditView

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="The plan id, or its workflow id.")]


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
    handle.patient = True
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
            fix=f"see {program()} show {handle.plan_id}" + (f"; its steps: {listed(known)}" if known else ""),
        )
        raise Refusal("this step cannot be shown", [problem])
    if as_json:
        steps = sealed.steps if sealed.undo is None else sealed.undo.steps
        emit({"plan_id": handle.plan_id, "step": next(each for each in steps if each.id == step)})
    else:
        say(text)
    return OK


async def _show_answered(handle: PlanHandle, *, audit: bool, as_json: bool) -> None:
    status, missing = await with_workers(handle, status_as_started(await patiently(handle.status())))
    preview = preview_as_started(await handle.preview())
    status = fitting_status(status, preview)
    recorded = await handle.audit() if audit or status.state is State.LOCKED else None
    if as_json:
        document: dict[str, Any] = {"answered": True, "status": status, "preview": preview, "missing_workers": missing}
        emit({**document, "audit": recorded} if audit else document)
        return
    say_preview(preview)
    say()
    console().print(status_screen(status))
    for sentence in missing:
        warn(sentence)
    if recorded is None:
        return
    lock = lock_decision(status.state, recorded.entries)
    if lock is not None and (signature := lock.signature_among(labelled_passkeys())):
        say(f"This lock: {safe(signature)}")
    if audit:
        console().print(_audit_table(recorded))


async def _show_facts(handle: PlanHandle, why: str, *, as_json: bool) -> None:
    facts = await handle.facts()
    if as_json:
        emit({"answered": False, "why": why, "facts": facts})
        return
    warn(f"{why}\nThis is what Temporal itself knows:")
    console().print(facts_screen(facts))


def _audit_table(audit: AuditView) -> FittingTable:
    title = f"Audit: {len(audit.entries)} entries, {count(audit.refused, 'refused message')}"
    table = FittingTable(title=title, title_justify="left")
    for column in ("#", "at (UTC)", "kind", "what", "by", "step", "state", "reason", "signature"):
        table.add_column(column, overflow="fold")
    known = labelled_passkeys()
    for entry in audit.entries:
        moved = safe(f"{entry.from_state} -> {entry.to_state}") if entry.to_state else ""
        table.add_row(
            str(entry.number), moment(entry.at), entry.kind.value, safe(entry.what), safe(entry.by),
            safe(entry.step or ""), moved, safe(entry.reason), safe(entry.signature_among(known)),
        )  # fmt: skip
    return table
