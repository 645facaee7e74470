"""`list`: all plans. It works when no worker does, and imports neither the core's graphs nor any tool."""

import asyncio
from typing import Annotated

import typer
from temporalio.client import Client

from airlock.base import names
from airlock.base.likely import likely_fix
from airlock.cli.display.screens import lock_lines, plans_table
from airlock.cli.output import OK, AsJson, command, console, emit, say, warn
from airlock.client.errors import NoAnswer
from airlock.client.gate_status import read_gate
from airlock.client.listing import count_plans, list_plans
from airlock.client.pollers import last_poll
from airlock.gates.view import GateView
from airlock.plans.state import State
from airlock.program import program
from airlock.temporal.connection import connect

_GATE_WITHIN = 5.0
"""Seconds that a list waits for the live gate to say whether it is locked."""


def _state(text: str) -> State:
    """Return the state of that name. Capitals make no difference, but every screen writes them."""
    name = text.strip().upper().replace("-", "_")
    if name not in set(State):
        raise typer.BadParameter(f"there is no state {text!r}: {likely_fix(name, map(str, State))}")
    return State(name)


@command
async def list_(
    state: Annotated[
        State | None,
        typer.Option("--state", metavar="STATE", parser=_state, help=f"Only plans in this state: {', '.join(State)}."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="The most plans to list.")] = 50,
    as_json: AsJson = False,
) -> int:
    """List plans, newest first.

    The list comes from Temporal's visibility. It needs no worker, and is a second behind at worst.
    """
    client = await connect()
    plans, counted, gate = await asyncio.gather(
        list_plans(client, state=state, limit=limit), count_plans(client, state=state), _live_gate(client)
    )
    total = max(counted, len(plans))  # they were asked at the same time, and plans come and go
    truncated = len(plans) >= limit and total > len(plans)
    if as_json:
        locks = None if isinstance(gate, str) else [] if gate is None else list(gate.locks)
        emit({"plans": list(plans), "total": total, "truncated": truncated, "locks": locks})
        return OK
    for line in [gate] if isinstance(gate, str) else [] if gate is None else lock_lines(gate):
        warn(line)
    if not plans:
        say("There are no plans" + (f" in {state.value}." if state else f". Submit one: {program()} start PLAN.json"))
    else:
        console().print(plans_table(plans))
        if truncated:
            warn(f"the newest {len(plans)} of {total} plans; see more with --limit {total}")
    return OK


async def _live_gate(client: Client) -> GateView | str | None:
    """Return the live gate, None if there is none yet, or the reason why it cannot be read."""
    try:
        return await read_gate(client, names.LIVE_GATE, _GATE_WITHIN)
    except NoAnswer as error:
        if await last_poll(client) is not None:
            return f"{error}; a worker polls, so it is busy, or has just stopped"
        return f"{error}; while no worker answers, no plan can enter LIVE"
