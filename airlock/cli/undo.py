"""`rollback`: take back live calls; those of a plan that has ended by an undo that another person must approve."""

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from airlock.base.names import UNDO_PREFIX
from airlock.base.person import OTHER_NAME
from airlock.cli.decisions import ByOption, ReasonOption, decide, me
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.cli.show import PlanName
from airlock.client import Airlock, PlanEnded, PlanHandle
from airlock.client.undo import previewed, undo
from airlock.plans.state import State
from airlock.program import program

_PATIENCE = 30.0
"""Seconds to wait for the preview of an undo."""


@command
async def rollback(
    plan: PlanName,
    reason: ReasonOption,
    to_step: Annotated[
        str | None, typer.Option("--to-step", metavar="STEP", help="Undo this step and everything after or depending on it.")
    ] = None,
    by: ByOption = None,
    as_json: AsJson = False,
) -> int:
    """Undo what is live, whole or back to a step, in reverse order.

    For a plan that has ended the command asks for an undo, undo-PLAN, which another person must approve.
    """
    airlock = await Airlock.connect()
    handle, who = airlock.plan(plan), me(by)
    if not await handle.ended():
        with suppress(PlanEnded):
            return await decide(handle, "rollback", as_json=as_json, by=who, reason=reason, to_step=to_step)
    if handle.plan_id.startswith(UNDO_PREFIX):
        name = handle.plan_id.removeprefix(UNDO_PREFIX)
        raise Refusal(f"{handle.plan_id} has ended; ask for another undo: {program()} rollback {name} --reason ...")
    asked = await undo(airlock.client, handle.plan_id, by=who, reason=reason, to_step=to_step)
    return await _told(asked, handle.plan_id, as_json=as_json)


async def _told(asked: PlanHandle, plan_id: str, *, as_json: bool) -> int:
    """Print the state of an undo that was asked for, once it has a preview or `_PATIENCE` has passed."""
    state, digest = State.MOCK, None
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            state = await previewed(asked)
            digest = (await asked.status()).digest
    if as_json:
        emit({"plan_id": asked.plan_id, "undo_of": plan_id, "state": state.value, "digest": digest})
        return OK
    if state is State.AWAITING_APPROVAL:
        say(f"plan {plan_id} has ended; its undo {asked.plan_id} waits for the approval of another person.")
        say(f"  read it:     {program()} show {asked.plan_id}")
        say(f"  approve it:  {program()} approve {asked.plan_id} --by {OTHER_NAME}")
    else:
        say(f"plan {plan_id} has ended; its undo {asked.plan_id} is being prepared ({state.value}).")
        say(f"  follow it:   {program()} watch {asked.plan_id}")
    return OK
