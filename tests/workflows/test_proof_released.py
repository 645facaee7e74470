"""A genuine release that is sent again after a reset, as every client can: it frees no slot of the later stay."""

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from airlock.base import names
from tests.workflows.attacker_starts import finished_tasks, history, set_back
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD


async def releases(where: Place) -> list[tuple[str, Payload]]:
    found = []
    async for run in where.attacker.client.list_workflows("WorkflowType = 'GateWorkflow'"):
        if run.id.startswith(names.RESOURCE_GATE_PREFIX):
            for event in await where.attacker.events(run.id, run.run_id):
                told = event.workflow_execution_signaled_event_attributes
                if told.signal_name == "release":
                    found.append((run.id, told.input.payloads[0]))
    return found


async def test_a_genuine_release_frees_no_slot_of_a_later_stay(dev_server, plan):
    where = await place(dev_server.client, "more-gate", keyring("k"))
    first, second = (plan(step("a", "share", key="more-gate", value=number)) for number in (1, 2))
    plan_id, workflow_id = first["plan_id"], names.plan_workflow_id(first["plan_id"])
    WORLD.trouble[(plan_id, "a")] = ["stale"]
    async with where.working():
        inside = await where.airlock.submit(first)
        await awaiting(inside)
        waited = finished_tasks(await history(where.attacker.client, workflow_id))[-1]
        await approved(inside)
        ((gate, release),) = await until(lambda: releases(where))
        await awaiting(inside)
        hold = WORLD.hold(plan_id, "a")
        await set_back(where.attacker.client, workflow_id, waited, forget=True)
        await awaiting(inside)
        await approved(inside)
        await until(lambda: WORLD.inside["more-gate"])
        handle = where.attacker.client.get_workflow_handle(gate)
        await handle.signal("release", RawValue(release))
        waiting = await where.airlock.submit(second)
        await approved(waiting)
        decided = await until(lambda: _decided(waiting))
        hold.set()
        # the first answer of the gate tells: its call may enter only a moment after it was let in
        assert decided.waits_for.startswith("its turn at"), decided
        assert (await waiting.result()).outcome == "completed"
        assert all(len(together) == 1 for together in WORLD.together["more-gate"]), WORLD.together["more-gate"]


async def _decided(handle: Any) -> Any:
    status = await handle.status()
    told = status.waits_for.startswith("its turn at") or status.outcome is not None
    return status if told else None
