"""Measure the share of time that one contended resource is in use while 100 plans queue for it.

Run with `make bench`, or alone with `python -m benchmarks.contention`. Two shares of the time from the first hold to the
last: held by some plan at the gate (the gate is asked several times a second), and a call of the holder really running
(written down by the tool). What is lost between two calls is the hand-over; with shorter calls it weighs more.
"""

import argparse
import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from airlock.base import names
from airlock.client import Airlock
from benchmarks.occupying import DIARY, occupy, plan
from benchmarks.report import Sheet, save
from benchmarks.server import serving

PLANS = 100
SECONDS = (0.5, 1.0)
SEED = 3
LOOK = 0.1


@dataclass
class Looks:
    """The answers of the gate, look by look: whether a plan held the resource, and how many waited for it."""

    held: list[bool] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    async def go_on(self, client: Client) -> None:
        """Ask the gate of the only resource until cancelled; before the first hold and after the last there is nothing."""
        gate = await _gate_id(client)
        while True:
            view = await _view(client, gate)
            self.held.append(bool(view.get("holders")))
            self.waiting.append(len(view.get("waiting") or ()))
            await asyncio.sleep(LOOK)

    def share(self) -> float:
        """Return the share of looks that found it held, between the first and the last that did."""
        found = [number for number, held in enumerate(self.held) if held]
        between = self.held[found[0] : found[-1] + 1]
        return sum(between) / len(between)


async def _gate_id(client: Client) -> str:
    prefix = names.resource_gate_id("")
    while True:
        async for workflow in client.list_workflows(f"WorkflowType = '{names.GATE_WORKFLOW}'"):
            if workflow.id.startswith(prefix):
                return workflow.id
        await asyncio.sleep(LOOK)


async def _view(client: Client, gate: str) -> dict[str, Any]:
    try:
        view: dict[str, Any] = await client.get_workflow_handle(gate).query("status", rpc_timeout=timedelta(seconds=5))
    except (RPCError, WorkflowQueryFailedError):
        return {}
    return view


async def contend(airlock: Airlock, plans: int) -> Looks:
    """Let so many plans queue for one place; answers what was seen meanwhile."""
    rng = random.Random(SEED)
    looks = Looks()
    watching = asyncio.create_task(looks.go_on(airlock.client))
    handles = [await airlock.submit(plan(f"c{number}", "one", rng.uniform(*SECONDS))) for number in range(plans)]
    for handle in handles:
        assert (await handle.result()).outcome == "completed"
    watching.cancel()
    return looks


async def main(plans: int) -> None:
    """Measure, print and save."""
    async with serving([occupy], max_live_escalations=20) as airlock:
        looks = await contend(airlock, plans)
    stays = sorted((stay.began, stay.ended or 0.0) for stay in DIARY.stays)
    overlapping = sum(after[0] < before[1] for before, after in pairwise(stays))
    whole, used = stays[-1][1] - stays[0][0], sum(ended - began for began, ended in stays)
    gap = (whole - used) / (len(stays) - 1)
    title = f"{plans} plans on one contended resource, calls of {SECONDS[0]:g} to {SECONDS[1]:g} s"
    columns = ("held at the gate", "a call running", "lost a hand-over", "longest queue", "calls at once", "seconds")
    row = [
        f"{looks.share():.0%}", f"{used / whole:.0%}", f"{gap:.2f} s", str(max(looks.waiting)),
        "1" if overlapping == 0 else f"overlaps: {overlapping}", f"{whole:.0f}",
    ]  # fmt: skip
    save("contention", [Sheet(title, columns, [row], left=0)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--plans", type=int, default=PLANS)
    asyncio.run(main(parser.parse_args().plans))
