"""Airlock's own turns: a plan that is rehearsed, sealed, approved and carried out.

Variants: `irreversible`, a call that must not be repeated and whose outcome a human has to tell when it is in doubt;
`probe`, such a call whose tool can look up its outcome.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import BaseModel

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.temporal.connection import connect_to, ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers
from benchmarks import effects
from benchmarks.lines import Settings, Turn, serve


class Call(BaseModel):
    """A call of a run."""

    run: str
    number: int


def tool_of(settings: Settings) -> Tool:
    """Return the tool of a variant."""

    @tool(name="call", risk="MEDIUM", reversibility="irreversible" if settings.variant else "reversible")
    async def call(args: Call, call: ToolCall) -> dict[str, Any]:
        """Make the call."""
        return await effects.call(settings.effects, args.run, args.number)

    @call.dry_run
    async def _look(args: Call, call: ToolCall) -> Preview:
        return Preview(effect="one call", output={"number": args.number})

    if not settings.variant:

        @call.compensate
        async def _undo(args: Call, call: ToolCall) -> None:
            return None

    if settings.variant == "probe":

        @call.probe
        async def _probe(args: Call, call: ToolCall) -> Probe:
            happened = await effects.ask(settings.effects, "made", args.run, args.number) > 0
            return Probe(happened=happened, output={"number": args.number} if happened else None, why="the log says so")

    return call


class Plans:
    """Turns as plans."""

    def __init__(self, airlock: Airlock) -> None:
        self._airlock = airlock

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Submit a plan, approve what it shows, and wait for its end."""
        steps = [
            {"id": f"s{n}", "agent": "a", "tool": "call", "args": {"run": name, "number": n}, "confidence": 0.95,
             "after": [] if parallel or n == 0 else [f"s{n - 1}"]}
            for n in range(count)
        ]  # fmt: skip
        run = await self._airlock.submit({"plan_id": name, "requested_by": "bench", "steps": steps})
        status = await run.wait_for(State.AWAITING_APPROVAL, every=0.005)
        asked = approved = time.monotonic()
        await run.workflow.signal("approve", {"by": "approver", "digest": status.digest})
        await run.result()
        return Turn(asked, approved)

    async def resume(self, name: str) -> str:
        """Wait; where the plan asks for the outcome of a call, answer that it happened."""
        plan = self._airlock.plan(name)
        status = await plan.wait_for(State.LOCKED, State.COMPLETED, every=0.1)
        asked = status.parked
        for step in asked:
            why = {"reason": "the log shows it", "output": {"number": int(step[1:])}}
            verdict = await plan.decide("resolve", by="operator", step=step, outcome="happened", **why)
            if not verdict.accepted:
                raise SystemExit(f"the answer was refused: {verdict}")
        outcome = (await plan.result()).outcome
        return f"{outcome}, after a human was asked about {', '.join(asked)}" if asked else str(outcome)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Plans]:
    """Yield Airlock with its workers."""
    toolbox = Toolbox(Catalogue([tool_of(settings)]), Policy(agents={"*": AgentPolicy(permissions=("*",))}))
    client = await connect_to(settings.temporal)
    async with AsyncExitStack() as stack:
        await ensure_search_attributes(client)
        await learn_of_server(client)
        for worker in build_workers(client, toolbox, limits=Limits(calls=100)):
            await stack.enter_async_context(worker)
        yield Plans(Airlock(client))


if __name__ == "__main__":
    serve(opened)
