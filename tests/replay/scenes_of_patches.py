"""Scenes of rules that a history of this epoch has only from some event on: see `airlock.workflows.patches`."""

import asyncio
from typing import Any
from unittest.mock import patch

from airlock.activities import gate_client
from airlock.base import names
from airlock.gates.answers import SlotQueued
from airlock.plans.state import State
from airlock.plans.tool_call import ToolCall
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.workflows import world
from tests.workflows.bombs import FEW, bomb, flood, padded
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place
from tests.workflows.test_waiting_at_a_gate import announced, queued
from tests.workflows.world import WORLD


@scene
async def kept_apart(where: Place, plan_id: str) -> Runs:
    """A plan is locked in its dry runs and unlocked before they have ended: the next ones have an id of their own."""
    begun, go_on, dry = asyncio.Event(), asyncio.Event(), world.put.functions["dry_run"]

    async def deaf(args: Any, call: ToolCall) -> Any:
        if not begun.is_set():
            begun.set()
            await asyncio.shield(asyncio.ensure_future(go_on.wait()))
        return await dry(args, call)

    with patch.dict(world.put.functions, dry_run=deaf):
        async with where.working():
            handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
            await asyncio.wait_for(begun.wait(), 60)
            assert (await handle.decide("lock", by="olga", reason="stop")).accepted
            await handle.wait_for(State.LOCKED)
            assert (await handle.decide("unlock", by="olga", reason="go on")).accepted
            await approved(handle)
            go_on.set()
            await ended(handle, "completed")
    return {"kept-apart": handle.workflow}


@scene
async def asked_after_a_failure(where: Place, plan_id: str) -> Runs:
    """The only live worker goes while it asks the gates for a plan that is stopped: others ask what the gates gave."""
    async with where.working("orchestrate", "rehearse"):
        steps = (step("a", "once", key="a", value=1), step("b", "once", key="b", value=2))
        handle = await submit(where.airlock, plan_id, *steps)
        await approved(handle)
        task = await where.attacker.take(names.PERMIT_QUEUE, "acquire")
        assert (await handle.decide("rollback", by="olga", reason="stop")).accepted
        await where.attacker.fail(task, "Interrupted")
        await ended(handle, "aborted")
    return {"asked-after-a-failure": handle.workflow}


@scene
async def announced_early(where: Place, plan_id: str) -> Runs:
    """The second gate lets a plan in before its answer "queued" has reached the plan."""
    keys = [f"{plan_id}-{letter}" for letter in "ab"]
    holds = {key: WORLD.hold(key, "a") for key in keys}
    asked, ask = list[str](), gate_client.ask
    async with where.working():
        holders = [await submit(where.airlock, key, step("a", "share", key=key, value=1)) for key in keys]
        for key, holder in zip(keys, holders, strict=True):
            await approved(holder)
            await until(lambda key=key: (key, "a") in WORLD.running)
        behind = await submit(where.airlock, plan_id, *(step(key[-1], "share", key=key, value=2) for key in keys))

        async def late(client: Any, gate: str, wanted: Any) -> Any:
            answer = await ask(client, gate, wanted)
            if wanted.holder == behind.workflow.id and isinstance(answer, SlotQueued) and gate not in asked:
                asked.append(gate)
                if len(asked) == 2:
                    holds[wanted.name.removeprefix("shared:")].set()
                    await until(lambda: announced(behind, gate))
            return answer

        with patch.object(gate_client, "ask", late):
            await approved(behind)
            await until(lambda: queued(behind))
            waits_for = (await behind.status()).waits_for
            (first,) = [key for key in keys if f"shared:{key} " in waits_for]
            holds[first].set()
            for handle in (behind, *holders):
                await ended(handle, "completed")
    return {"announced-early": behind.workflow}


@scene
async def undecoded_signals(where: Place, plan_id: str) -> Runs:
    """More signals come in one workflow task than are decoded; a denial among them does not count."""
    async with where.working():
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        digest = (await awaiting(handle)).digest
    await flood(handle.workflow, "resolve", bomb(by="mallory", reason="r", step="a", outcome="happened"), FEW)
    await handle.workflow.signal("deny", padded(by="op", reason="no", digest=digest))
    async with where.working():
        status = await until(lambda: handle.status())
        assert (status.refused, status.state) == (FEW + 1, State.AWAITING_APPROVAL)
        await approved(handle)
        await ended(handle, "completed")
    return {"undecoded-signals": handle.workflow}
