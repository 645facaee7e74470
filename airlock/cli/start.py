"""`start`: check a plan, submit it, and print its state."""

import asyncio
import time
from typing import Annotated

import typer

from airlock.base.errors import PlanError, Problem
from airlock.base.person import OWN_NAME
from airlock.cli.check import NoCatalogue, PlanFile, ValidationOption, examine_files
from airlock.cli.display.follow import Snapshot, follow, open_screen
from airlock.cli.display.hints import approve_hint, status_as_started
from airlock.cli.display.status_screens import headline
from airlock.cli.missing_workers import missing_workers
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, print_problem, say, warn
from airlock.cli.settings import ConfigOption
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.client.pollers import QUEUES_OF
from airlock.plans.state import State
from airlock.program import program
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import StatusView, rehearsal_failed

ADMISSION_WITHIN = 20.0
"""Seconds that `start` waits until the operator's worker admits the plan or refuses it."""
REFUSED_AT_ADMISSION = "refused at admission: "


@command
async def start(
    plan_file: PlanFile,
    validation: ValidationOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the plan until it has ended.")] = False,
    config: ConfigOption = None,
    no_catalogue: NoCatalogue = False,
    as_json: AsJson = False,
) -> int:
    """Submit a plan.

    The same plan twice starts nothing, unless it ended because it could not be rehearsed: then it is rehearsed again. Other
    content under the same id is refused. Exits 0 once the plan is admitted, or when no worker has judged it within 20
    seconds, and 1 when it is refused. With --wait it exits 0 only if the plan ends completed, partial or rehearsed, and 1
    if nothing could go live because a mock or a dry run failed.
    """
    findings, _ = examine_files(plan_file, validation, config, no_catalogue=no_catalogue)
    if findings.problems:
        raise PlanError(findings.problems)
    if not as_json:
        for problem in findings.warnings:
            print_problem("warning: ", problem, console(stderr=True), "yellow")
    handle = await (await Airlock.connect()).submit(findings)
    status = await _admission(handle)
    if status is not None and status.why.startswith(REFUSED_AT_ADMISSION):
        raise _refused(handle, status, known_here=findings.admitted is not None)
    if wait:
        return await _wait(handle, as_json=as_json)
    missing = await missing_workers(handle, *QUEUES_OF)
    if as_json:
        emit({**_submitted(handle), "status": status, "missing_workers": missing})
    else:
        _say_where(handle, status)
        for sentence in missing:
            warn(sentence)
    failed = status is not None and (status.outcome is Outcome.UNREHEARSED or rehearsal_failed(status))
    return REFUSED if failed else OK


async def _admission(handle: PlanHandle) -> StatusView | None:
    """Return the plan's status once a worker has judged it, or None when none has within `ADMISSION_WITHIN`."""
    until = time.monotonic() + ADMISSION_WITHIN
    status: StatusView | None = None
    while time.monotonic() < until:
        try:
            status = status_as_started(await handle.status())
        except NoAnswer:
            if await handle.ended():
                return None
            await asyncio.sleep(0.1)
            continue
        admitted = any(step.risk is not None for step in status.steps)
        if admitted or status.state is not State.MOCK or status.outcome is not None:
            return status
        await asyncio.sleep(0.1)
    return status


def _refused(handle: PlanHandle, status: StatusView, *, known_here: bool) -> Refusal:
    """Return the refusal of the worker.

    Args:
        handle: The plan.
        status: The plan's status.
        known_here: True if the plan is acceptable under the tools and the policy of this folder: the worker's are others.
    """
    said = status.why.removeprefix(REFUSED_AT_ADMISSION)
    fix = "fix it and submit it under a new plan_id"
    if known_here:
        fix = (
            "the plan fits the airlock.toml and the tools here, so the worker has others, or no secrets: give it what it "
            "lacks, restart it if you changed them, or fix the plan; then submit it under a new plan_id"
        )
    what = "the operator's worker refused the plan at admission"
    if handle.already:  # a worker that has the tools since has not looked at it again
        what, fix = "the plan was refused before, and nothing was started now", "submit it under a new plan_id"
    problem = Problem(where=f"plan {handle.plan_id}", message=said, fix=fix)
    return Refusal(what, [problem], **_submitted(handle))


def _submitted(handle: PlanHandle) -> dict[str, object]:
    return {"plan_id": handle.plan_id, "workflow_id": handle.workflow.id, "already_submitted": handle.already}


async def _wait(handle: PlanHandle, *, as_json: bool) -> int:
    with open_screen(silent=as_json) as screen:
        last = (await follow([handle], screen))[handle.plan_id]
    if as_json:
        emit({**_submitted(handle), "ended": last})
    else:
        say(_ending(last))
    return OK if last.good else REFUSED


def _ending(last: Snapshot) -> str:
    return f"{last.plan_id} ended: {last.outcome or 'without a result'} ({last.why})"


def _say_where(handle: PlanHandle, status: StatusView | None) -> None:
    say(f"{handle.plan_id}: " + ("already submitted, nothing was started" if handle.already else "submitted"))
    if status is None:
        warn("no worker has judged it yet; it goes on as soon as a worker is there")
    else:
        console().print(headline(status))
    say(f"  see it:     {program()} show {handle.plan_id}")
    say(f"  follow it:  {program()} watch {handle.plan_id}")
    ended = status is not None and (status.outcome is not None or status.state.closed)
    if status is None or not ended:
        say("  after reading the preview:")
        say(f"  approve it: {approve_hint(handle.plan_id, OWN_NAME, status.demands if status is not None else ())}")
